/** `client drill`: restores a few files, drawn by chance, compares them, and writes down in the vault what came of it. */
import { resolve } from "node:path";
import { describeError, ExitCode, HoldfastError, RefusedError, UsageError } from "../errors.ts";
import { formatByteSize, parseByteSize, parseCount, parseFlags, readFlag } from "../flags.ts";
import { encodeDrill } from "../journal_body.ts";
import { EventKind } from "../journal.ts";
import { DRILL } from "../limits.ts";
import { type Command, print, printError } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { Drill, type DrillObserver, type DrillResult } from "./drill_run.ts";
import { showPath, showTime } from "./entry_text.ts";
import { drawRandom } from "./file_sample.ts";
import { Interruption } from "./interrupt.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { type Reading, withReading } from "./reading.ts";
import type { EntryFailure } from "./restorer.ts";
import {
  type ChosenSnapshot,
  FILTER_FLAGS,
  FILTER_HELP,
  filterSnapshots,
  readFilter,
  SHORT_ID_DIGITS,
  SNAPSHOT_HELP,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { TemporaryFolder } from "./temporary_folder.ts";
import { Progress } from "./ui.ts";
import { appendEvent } from "./vault_access.ts";

const HELP = `client drill: restores a few files, drawn by chance, and compares them

Usage: client drill [flags] [SNAPSHOT]

Without SNAPSHOT it takes the newest of this device, or if it has none the newest of the vault.
Files are drawn by chance, each as likely as every other, restored to a new folder that is
removed afterwards, and read back. A file that on this machine still has the size, times and
inode that the snapshot has is compared with it, byte for byte. What came of it is written into
the vault's journal, signed; "client status" and "client journal" show it.

${SNAPSHOT_HELP}

  --sample N       how many files (${DRILL.files}; at most ${DRILL.filesMax})
  --bytes SIZE     at most so much in all (${formatByteSize(DRILL.bytes)}); files that do not
                   fit are left out
  --to DIR         folder in which the new folder is made, if not the system's for temporary files
${FILTER_HELP}
${PROFILE_HELP}
  --json           JSON on standard output: an object for each file that is not right, and a
                   summary

Exit codes: 0 all is right; 3 some files could not be written here; 5 something is damaged, or the
disk has other contents than the snapshot under the same size and times. Then either the disk has
changed a file behind everybody's back, or a program has set its time back; the snapshot has what
was read when it was made. A device that may only write cannot drill.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  sample: { type: "string" },
  bytes: { type: "string" },
  to: { type: "string" },
} as const;

const OLD_SERVER_HINT = "a server from before there were drills does not take them";

interface DrillOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  /** Undefined: the newest of this device. */
  snapshot: string | undefined;
  count: number;
  bytesMax: number;
  to: string | undefined;
  json: boolean;
}

export const DRILL_COMMAND: Command = {
  summary: "restore a few files, drawn by chance, and compare them",
  help: HELP,
  run: (args) => drill(parseOptions(args)),
};

async function drill(options: DrillOptions): Promise<number> {
  return await withReading(options.folder, async (reading) => {
    const chosen = await choose(reading, options);
    const report = new DrillReport(options.json);
    const result = await runDrill(reading, { chosen, options, report });
    const { files, failed } = result;
    if (files === 0) throw new HoldfastError(`Cannot drill: none of ${failed} files was restored`);
    // What was found is told first: it stays true if it cannot be written down.
    const code = report.finish(result);
    const recorded = await record(reading, { chosen, result });
    report.summary({ chosen, result, recorded: recorded.number });
    return code === ExitCode.DAMAGED ? code : recorded.failure ?? code;
  });
}

async function choose(
  { profile, choose }: Reading,
  { snapshot, filter }: DrillOptions,
): Promise<ChosenSnapshot> {
  const own = { ...filter, device: filter.device ?? profile.device.id.toHex() };
  const hasOwn = snapshot === undefined &&
    [...filterSnapshots(profile, { filter: own, names: [] })].some((row) => row.holdUntilMs === 0);
  const chosen = await choose(snapshot ?? "latest", hasOwn ? own : filter);
  const { row, root } = chosen;
  if (root.totals.files === 0) throw new HoldfastError("Cannot drill: the snapshot has no files");
  const id = row.root.toHex().slice(0, SHORT_ID_DIGITS);
  printError(`snapshot ${id} of ${showTime(root.timeMs)}, host ${showPath(root.host)}`);
  return chosen;
}

/** Whatever happens, nothing is left of what was restored. */
async function runDrill(
  reading: Reading,
  { chosen: { root }, options, report }: {
    chosen: ChosenSnapshot;
    options: DrillOptions;
    report: DrillReport;
  },
): Promise<DrillResult> {
  const { count, bytesMax, to } = options;
  using folder = TemporaryFolder.create(to, "drill");
  using interruption = new Interruption("Cannot go on: interrupted; nothing is written down");
  const drill = new Drill(reading, { root, count, bytesMax, folder, draw: drawRandom }, report);
  try {
    return await Promise.race([drill.run(), interruption.interrupted]);
  } catch (error) {
    await drill.abort();
    throw error;
  } finally {
    report.clear();
  }
}

/** Writes the result into the journal. What goes wrong with it is told. */
async function record(
  reading: Reading,
  { chosen: { row }, result }: { chosen: ChosenSnapshot; result: DrillResult },
): Promise<{ number?: number; failure?: number }> {
  const { files, bytes, compared, differing, damaged } = result;
  const body = encodeDrill({ root: row.root, files, bytes, compared, differing, damaged });
  try {
    const { number } = await appendEvent(reading, async () => ({ kind: EventKind.DRILL, body }));
    return { number };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    printError(`error: the result is not in the journal: ${describeError(error)}`);
    if (error instanceof RefusedError) printError(`hint: ${error.hint ?? OLD_SERVER_HINT}`);
    return { failure: error.exitCode };
  }
}

/** Tells, and judges. */
class DrillReport implements DrillObserver {
  readonly #json: boolean;
  readonly #progress = new Progress("restoring", 0);
  #isIncomplete = false;

  constructor(json: boolean) {
    this.#json = json;
  }

  failed(path: string, { kind, message: error }: Pick<EntryFailure, "kind" | "message">): void {
    const what =
      { damaged: "damaged", failed: "not restored", metadata: "without its metadata" }[kind];
    if (kind !== "damaged") this.#isIncomplete = true;
    this.#tell({ event: kind, path, error }, `${what}: ${showPath(path)}: ${error}`);
  }

  differing(path: string): void {
    const text = "the disk has other contents, with the same size and times";
    this.#tell({ event: "differing", path }, `differing: ${showPath(path)}: ${text}`);
  }

  progress(bytes: number): void {
    this.#progress.set(bytes);
  }

  clear(): void {
    this.#progress.clear();
  }

  /** For people. Returns the exit code. */
  finish(result: DrillResult): number {
    const { files, bytes, compared, differing, damaged, failed, leftOut } = result;
    const { changed, missing, unreadable } = result;
    if (!this.#json) {
      const restored = files - damaged;
      print(`restored ${restored} of ${files + failed} drawn files, ${formatByteSize(bytes)}`);
      if (leftOut > 0) print(`left out ${leftOut} more, too large in all (--bytes)`);
      const others = [
        changed > 0 ? `${changed} have changed since` : "",
        missing > 0 ? `${missing} are not there` : "",
        unreadable > 0 ? `${unreadable} cannot be read` : "",
      ].filter((text) => text !== "");
      const rest = others.length > 0 ? `; ${others.join(", ")}` : "";
      print(`compared ${compared} with the disk, ${compared - differing} are the same${rest}`);
      if (differing > 0) printError(`${differing} differ from the disk, see above`);
      if (damaged > 0) printError(`${damaged} are damaged, see above`);
    }
    if (damaged + differing > 0) return ExitCode.DAMAGED;
    return this.#isIncomplete ? ExitCode.INCOMPLETE : ExitCode.DONE;
  }

  /** @param recorded number of the event */
  summary(
    { chosen, result, recorded }: {
      chosen: ChosenSnapshot;
      result: DrillResult;
      recorded: number | undefined;
    },
  ): void {
    const snapshot = chosen.row.root.toHex();
    if (this.#json) {
      print(JSON.stringify({ event: "drill", snapshot, ...result, recorded: recorded ?? null }));
    } else if (recorded !== undefined) print(`written into the journal as event ${recorded}`);
  }

  #tell(fields: Record<string, unknown>, text: string): void {
    this.clear();
    if (this.#json) print(JSON.stringify(fields));
    printError(text);
  }
}

function parseOptions(args: string[]): DrillOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 1) throw new UsageError(`Unexpected argument "${positionals[1]}"`);
  const to = readText(values, "to");
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshot: positionals[0],
    count: readFlag(values, { flag: "sample", parse: parseSample, otherwise: DRILL.files }),
    bytesMax: readFlag(values, { flag: "bytes", parse: parseByteSize, otherwise: DRILL.bytes }),
    to: to === undefined ? undefined : resolve(to),
    json: values.json === true,
  };
}

function parseSample(text: string): number {
  const count = parseCount(text);
  if (count > DRILL.filesMax) {
    throw new UsageError(`${DRILL.filesMax} files are the most`, {
      hint: "client check --read-data reads everything",
    });
  }
  return count;
}
