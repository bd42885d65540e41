/** `client check`: whether everything that the snapshots need is there and right. */
import { DamagedError, describeError, ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags, readFlag } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import { CheckWalk } from "./check_walk.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { deviceNames } from "./device_choice.ts";
import { showPath } from "./entry_text.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { type Reading, withReading } from "./reading.ts";
import {
  chooseSnapshot,
  FILTER_FLAGS,
  FILTER_HELP,
  filterSnapshots,
  openSnapshot,
  readFilter,
  SHORT_ID_DIGITS,
  SNAPSHOT_HELP,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { Progress } from "./ui.ts";

const HELP = `client check: checks that snapshots can be restored

Usage: client check [flags] [SNAPSHOT...]

Without SNAPSHOTs all are checked. The journal is followed; every root, index, segment and list
is fetched and opened; and every record of contents has to be there. With --read-data these
are fetched and opened too: only that finds out for sure that no bit has changed.
What is damaged is named by snapshot and path. A new backup of the same paths sends again what
is missing or damaged, as long as the files are still there.

${SNAPSHOT_HELP}

  --read-data[=N%] read all contents, or N percent of them, others each time
${FILTER_HELP}
${PROFILE_HELP}
  --json           one JSON object for each damage, then a summary, on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  "read-data": { type: "string" },
} as const;

interface CheckCommandOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  snapshots: string[];
  /** 0 to 1. */
  readShare: number;
  json: boolean;
}

export const CHECK_COMMAND: Command = {
  summary: "check that snapshots can be restored",
  help: HELP,
  run: (args) => check(parseOptions(args)),
};

async function check(options: CheckCommandOptions): Promise<number> {
  return await withReading(options.folder, async (reading) => {
    const rows = await selectRows(reading, options);
    const report = new CheckReport(options.json);
    const { session, loader, profile } = reading;
    // The server tells what is there only within a session.
    await session.openSession(crypto.getRandomValues(new Uint8Array(16)));
    const walk = new CheckWalk({
      ...{ session, loader, load: reading.load(), readShare: options.readShare },
      onDamage: (path, message) => report.damage(path, message),
      onProgress: (bytes) => report.progress(bytes),
    });
    for (const row of rows) {
      report.begin(row);
      try {
        await walk.checkTree(await openSnapshot(row, { profile, loader }));
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        report.damage("/", `nothing of this snapshot can be read: ${describeError(error)}`);
      }
    }
    await session.closeSession();
    return report.finish(walk.counts);
  });
}

async function selectRows(
  { profile, loader }: Reading,
  { snapshots, filter }: CheckCommandOptions,
): Promise<SnapshotRow[]> {
  if (snapshots.length === 0) {
    return [...filterSnapshots(profile, { filter, names: await deviceNames(profile) })];
  }
  const rows: SnapshotRow[] = [];
  for (const name of snapshots) {
    rows.push((await chooseSnapshot(name, { profile, loader, filter })).row);
  }
  return rows;
}

/** Tells of damage, and counts. */
class CheckReport {
  readonly #json: boolean;
  readonly #progress = new Progress("reading", 0);
  #snapshot = "";
  #snapshots = 0;
  #damaged = 0;
  #damagedSnapshots = new Set<string>();
  #bytes = 0;

  constructor(json: boolean) {
    this.#json = json;
  }

  begin({ root }: SnapshotRow): void {
    this.#snapshot = root.toHex();
    this.#snapshots++;
  }

  damage(path: string, error: string): void {
    this.#progress.clear();
    this.#damaged++;
    this.#damagedSnapshots.add(this.#snapshot);
    const snapshot = this.#snapshot;
    if (this.#json) print(JSON.stringify({ event: "damage", snapshot, path, error }));
    else print(`damaged: ${snapshot.slice(0, SHORT_ID_DIGITS)} ${showPath(path)}: ${error}`);
  }

  progress(bytes: number): void {
    this.#bytes += bytes;
    this.#progress.set(this.#bytes);
  }

  /** Sums up. Returns the exit code. */
  finish(counts: { segments: number; present: number; read: number }): number {
    this.#progress.clear();
    const [snapshots, damaged] = [this.#snapshots, this.#damaged];
    if (this.#json) {
      const sums = { snapshots, damaged, ...counts, bytes: this.#bytes };
      print(JSON.stringify({ event: "summary", ...sums }));
    } else {
      const { segments, present, read } = counts;
      printError(
        `${snapshots} snapshots: ${segments} segments and ${read} records of contents ` +
          `(${formatByteSize(this.#bytes)}) read, ${present} more are there`,
      );
      printError(
        damaged === 0
          ? "no damage found"
          : `damage in ${this.#damagedSnapshots.size} snapshots, see above`,
      );
    }
    return damaged === 0 ? ExitCode.DONE : ExitCode.DAMAGED;
  }
}

function parseOptions(args: string[]): CheckCommandOptions {
  // Its value is optional, and stands behind `=` only.
  const whole = args.map((arg) => arg === "--read-data" ? "--read-data=100%" : arg);
  const { values, positionals } = parseFlags(whole, FLAGS);
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshots: positionals,
    readShare: readFlag(values, { flag: "read-data", parse: parseShare, otherwise: 0 }),
    json: values.json === true,
  };
}

/** `10%` as 0.1. */
function parseShare(text: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)%?$/.exec(text);
  const percent = Number(match?.[1]);
  if (match === null || percent <= 0 || percent > 100) {
    throw new UsageError(`Cannot read share "${text}"`, { hint: "it looks like 10%" });
  }
  return percent / 100;
}
