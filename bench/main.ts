/** `deno task bench`: runs every benchmark and prints a table of each. bench/README.md has the results of one run. */
import { benchClassic } from "./classic.ts";
import { benchPrimitives } from "./primitives.ts";
import { printTable } from "./table.ts";

console.log(
  `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, ${Deno.build.target}\n`,
);
printTable("Primitives, one thread of JavaScript", await benchPrimitives());
printTable("Classic upload over loopback, real programs", await benchClassic());
