/** The long run, `deno task faults`: prints faults survived n/N and files lost for each class. */
import { parseArgs } from "node:util";
import { CLASSES } from "./classes.ts";
import { type ClassReport, runClass } from "./fault_class.ts";

const HELP =
  `deno task faults: breaks things on purpose, and compares what is left with what was acknowledged

Usage: deno task faults [flags]

  --class A,B   only these classes (all)
  --fault NAME  only faults of this name
  --seed N      begin from this seed (a random one, which is printed)
  --count N     so many faults of each class (as many as each thinks right)
  --keep        keep the folder in which it was done
  --quiet       only the table

Classes:
${CLASSES.map(({ letter, title, count }) => `  ${letter}  ${title} (${count})`).join("\n")}

Exit code 0: all faults were survived and no file was lost.`;

const { values } = parseArgs({
  options: {
    ...{ class: { type: "string" }, fault: { type: "string" }, seed: { type: "string" } },
    ...{ count: { type: "string" }, keep: { type: "boolean" }, quiet: { type: "boolean" } },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  console.log(HELP);
  Deno.exit(0);
}
const seed = number(values.seed) ?? Math.floor(Math.random() * 2 ** 31);
const letters = values.class?.toUpperCase().split(",");
const unknown = letters?.filter((letter) => !CLASSES.some((one) => one.letter === letter)) ?? [];
if (unknown.length > 0) stop(`there is no class ${unknown.join(", ")}`);
const count = number(values.count);
const folder = Deno.makeTempDirSync({ prefix: "holdfast-faults-" });
console.log(`seed ${seed}`);
const reports: ClassReport[] = [];
for (const one of CLASSES) {
  if (letters !== undefined && !letters.includes(one.letter)) continue;
  const startedMs = performance.now();
  const report = await runClass(one, {
    ...{ folder, seed, count: count ?? one.count },
    ...(values.fault === undefined ? {} : { only: values.fault }),
    note: (line) => (!values.quiet || line.startsWith("FAILED")) && console.log(line),
  });
  reports.push(report);
  console.log(`${line(report)}  (${Math.round((performance.now() - startedMs) / 1000)} s)`);
}
console.log(`\nseed ${seed}`);
for (const report of reports) console.log(line(report));
const failures = reports.flatMap((report) => report.failures);
for (const failure of failures) console.log(`FAILED ${failure}`);
if (values.keep) console.log(`kept: ${folder}`);
else Deno.removeSync(folder, { recursive: true });
const hasRun = reports.some(({ faults }) => faults > 0);
if (!hasRun) console.log("no fault has this name");
const hasLost = reports.some(({ filesLost }) => filesLost > 0);
Deno.exit(failures.length > 0 || hasLost || !hasRun ? 1 : 0);

function line({ letter, title, survived, faults, filesLost }: ClassReport): string {
  const survivedText = `faults survived ${survived}/${faults}`.padEnd(25);
  return `${letter}  ${title.padEnd(34)} ${survivedText} files lost ${filesLost}`;
}

function number(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text)) stop(`"${text}" is not a number`);
  return Number(text);
}

function stop(message: string): never {
  console.error(`error: ${message}\nhint: --help shows the flags`);
  Deno.exit(2);
}
