/**
 * `deno task bench`: runs every benchmark and prints a table of each. bench/README.md has the results of one run.
 *
 *     deno task bench [--rounds 5] [--scale 1] [--alone] [--bare] [NAME...]
 */
import { UsageError } from "../lib/errors.ts";
import { parseChoice, parseCount, parseFlags, readFlag } from "../lib/flags.ts";
import { benchClassic } from "./classic.ts";
import { benchCollection } from "./collection.ts";
import { benchFlat } from "./flat.ts";
import { benchHas } from "./has.ts";
import { benchParity } from "./parity.ts";
import { benchPrimitives } from "./primitives.ts";
import { benchScrub } from "./scrub.ts";
import { benchStart } from "./start.ts";
import { printTable } from "./table.ts";
import { benchVault, VAULT_JOBS } from "./vault.ts";

const NAMES = [
  "primitives",
  "classic",
  "start",
  "has",
  "parity",
  "collection",
  "scrub",
  "flat",
  ...VAULT_JOBS,
] as const;

const FLAGS = {
  rounds: { type: "string" },
  scale: { type: "string" },
  alone: { type: "boolean" },
  bare: { type: "boolean" },
} as const;

const { values, positionals } = parseFlags(Deno.args, FLAGS);
const rounds = readFlag(values, { flag: "rounds", parse: parseCount, otherwise: 5 });
const scale = readFlag(values, { flag: "scale", parse: parseScale, otherwise: 1 });
const names = positionals.length === 0
  ? [...NAMES]
  : positionals.map((name) => parseChoice(name, NAMES));
const load = Deno.loadavg()[0].toFixed(1);
console.log(
  `deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, ${Deno.build.target}, ` +
    `load ${load} before; ${rounds} rounds, scale ${scale}\n`,
);
if (names.includes("primitives")) {
  printTable("Primitives, one thread of JavaScript", await benchPrimitives());
}
if (names.includes("classic")) {
  printTable("Classic upload over loopback, real programs", await benchClassic({ scale }));
}
if (names.includes("start")) printTable("Start", await benchStart());
if (names.includes("has")) printTable("HAS in the store", await benchHas({ scale }));
if (names.includes("scrub")) {
  printTable("Scrub, nothing else at work in the store", await benchScrub({ rounds, scale }));
}
if (names.includes("collection")) await benchCollection({ scale });
if (names.includes("parity")) {
  printTable("Parity of a pack of 16 MiB, one thread of JavaScript", await benchParity());
}
if (names.includes("flat")) {
  printTable("Memory of a first backup", await benchFlat({ rounds, scale }));
}
const jobs = VAULT_JOBS.filter((job) => names.includes(job));
if (jobs.length > 0) {
  const [isAlone, isBare] = [values.alone === true, values.bare === true];
  await benchVault({ rounds, scale, jobs, isAlone, isBare });
}

/** A share of the full sizes, above 0 and at most 1. */
function parseScale(text: string): number {
  const scale = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN;
  if (!(scale > 0 && scale <= 1)) throw new UsageError(`Cannot read scale "${text}"`);
  return scale;
}
