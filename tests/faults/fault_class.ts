/** Classes of faults: what they have in common, and how they are run and counted. */
import { join } from "node:path";
import { describeError } from "../../lib/errors.ts";
import { Random } from "./random.ts";
import { LossError } from "./site.ts";

/** A fault has its name; done means that it, its recovery and the comparison are over and all is well. */
export type Faults = Record<string, (random: Random) => Promise<void>>;

/** A class that has begun: its vault is there. */
export interface BegunClass extends AsyncDisposable {
  faults: Faults;
  /** What is only looked at when all faults are over. */
  finish?: () => Promise<void>;
}

export interface FaultClass {
  letter: string;
  title: string;
  /** Faults of the short run, which is part of the tests. */
  shortCount: number;
  /** Faults of the long run. */
  count: number;
  /** @param folder an empty one, for all that it needs */
  begin(folder: string, random: Random): Promise<BegunClass>;
}

export interface ClassOptions {
  folder: string;
  seed: number;
  /** Faults are taken in turn until there were so many. */
  count: number;
  /** Only faults with this name. */
  only?: string;
  /** The first failure is enough. */
  stopsAtFailure?: boolean;
  note?: (line: string) => void;
}

export interface ClassReport {
  letter: string;
  title: string;
  faults: number;
  survived: number;
  filesLost: number;
  failures: string[];
}

/** Runs faults of a class, each with random numbers that follow from the seed and its place. */
export async function runClass(
  { letter, title, begin }: FaultClass,
  { folder, seed, count, only, stopsAtFailure = false, note = () => {} }: ClassOptions,
): Promise<ClassReport> {
  const report: ClassReport = { letter, title, faults: 0, survived: 0, filesLost: 0, failures: [] };
  const run = async (name: string, work: () => Promise<void>) => {
    report.faults++;
    try {
      await work();
      report.survived++;
      note(`${letter} ${report.faults}/${count} ${name}`);
    } catch (error) {
      const lost = error instanceof LossError ? error.filesLost : 0;
      report.filesLost += lost;
      const failure = `${letter} ${name}, seed ${seed}: ${describeFailure(error)}`;
      report.failures.push(failure);
      note(`FAILED ${failure}`);
    }
  };
  const path = join(folder, letter);
  Deno.mkdirSync(path);
  await using begun = await begin(path, new Random(seed));
  const names = Object.keys(begun.faults).filter((name) => only === undefined || name === only);
  if (names.length === 0) return report;
  for (let i = 0; i < count; i++) {
    const name = names[i % names.length];
    await run(name, () => begun.faults[name](new Random(seed + 7919 * (i + 1))));
    if (stopsAtFailure && report.failures.length > 0) return report;
  }
  if (begun.finish) {
    try {
      await begun.finish();
    } catch (error) {
      report.filesLost += error instanceof LossError ? error.filesLost : 0;
      report.failures.push(`${letter} at the end, seed ${seed}: ${describeFailure(error)}`);
      report.survived = Math.min(report.survived, report.faults - 1);
    }
  }
  return report;
}

function describeFailure(error: unknown): string {
  const place = error instanceof Error
    ? error.stack?.match(/tests\/faults\/\S+:\d+/)?.[0]
    : undefined;
  return `${describeError(error)}${place === undefined ? "" : ` (${place})`}`;
}
