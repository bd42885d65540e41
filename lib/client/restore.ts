/** `client restore`: writes a snapshot, or part of it, into a folder. */
import { resolve } from "node:path";
import { ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { formatByteSize, parseChoice, parseFlags, readFlag } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import type { Entry } from "../vault/entry.ts";
import { comparePaths, isWithin } from "../vault/path_order.ts";
import type { Root } from "../vault/root.ts";
import { findEntry, type Load } from "../vault/tree_reader.ts";
import {
  JSON_FLAG,
  PROFILE_FLAG,
  profileOf,
  readText,
  readWorkers,
  WORKERS_FLAG,
} from "./command_flags.ts";
import { showPath, showTime } from "./entry_text.ts";
import { Interruption } from "./interrupt.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { entryPath, type Reading, withReading } from "./reading.ts";
import { rememberLoads } from "./remembered_load.ts";
import { RestoreLanes } from "./restore_lanes.ts";
import { type Decision, type Overwrite, RestoreTarget } from "./restore_target.ts";
import { type EntryFailure, type RestoreObserver, Restorer } from "./restorer.ts";
import {
  FILTER_FLAGS,
  FILTER_HELP,
  readFilter,
  SHORT_ID_DIGITS,
  SNAPSHOT_HELP,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { Progress } from "./ui.ts";

const HELP = `client restore: writes a snapshot, or part of it, into a folder

Usage: client restore [flags] SNAPSHOT [PATH...] --to DIR

${SNAPSHOT_HELP}
With PATHs only these are restored, and what is in them. Everything gets its whole path below
DIR: /home/ann/x becomes DIR/home/ann/x. Nothing is ever written outside of DIR, and each file
appears only when it is complete. What is damaged is named; all the rest is restored.

  --to DIR         folder to write to; made if it is not there
  --overwrite WHICH
                   what to do with files that are there (never):
                     never    leave them as they are
                     changed  replace those of another size or time
                     always   replace them all
  --verify         read everything back from the disk and compare
  --dry-run        only show what would be done
  --workers N      threads that write files, 0 to 4; with 0 the main thread does it all; without
                   the flag as many as find a core free
${FILTER_HELP}
${PROFILE_HELP}
  --json           JSON on standard output: an object for each entry that failed, then a summary

Owners are restored by the system's own user only; symbolic links need --allow-read and
--allow-write without a path, as the runtime demands.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  to: { type: "string" },
  overwrite: { type: "string" },
  verify: { type: "boolean" },
  "dry-run": { type: "boolean" },
  ...WORKERS_FLAG,
} as const;

interface RestoreOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  snapshot: string;
  paths: string[];
  to: string;
  overwrite: Overwrite;
  verify: boolean;
  isDry: boolean;
  workers: number | undefined;
  json: boolean;
}

export const RESTORE_COMMAND: Command = {
  summary: "write a snapshot, or part of it, into a folder",
  help: HELP,
  run: (args) => restore(parseOptions(args)),
};

async function restore(options: RestoreOptions): Promise<number> {
  const { folder, filter, snapshot, to, overwrite, isDry } = options;
  return await withReading(folder, async (reading) => {
    const { row, root } = await reading.choose(snapshot, filter);
    const id = row.root.toHex().slice(0, SHORT_ID_DIGITS);
    printError(`snapshot ${id} of ${showTime(root.timeMs)}, host ${showPath(root.host)}`);
    const load = options.paths.length > 1 ? rememberLoads(reading.load()) : reading.load();
    await checkPaths(options.paths, { root, load });
    const target = RestoreTarget.open(to, { overwrite, isDry });
    const report = new RestoreReport(options, root);
    const restorer = makeRestorer(reading, { target, load, root, options, observer: report });
    using interruption = new Interruption(
      "Cannot go on: interrupted; what is there is complete, the rest is missing",
    );
    try {
      const restoring = restorer.restore(root, options.paths);
      await Promise.race([restoring, interruption.interrupted]);
    } catch (error) {
      report.clear();
      await restorer.abort();
      throw error;
    } finally {
      report.clear();
    }
    return report.finish(target.path);
  });
}

function makeRestorer(
  { loader, session, options: sessionOptions }: Reading,
  { target, load, root, options, observer }: {
    target: RestoreTarget;
    load: Load;
    root: Root;
    options: RestoreOptions;
    observer: RestoreObserver;
  },
): Restorer {
  const { bytes } = root.totals;
  const { workers } = options;
  const makeLanes: ConstructorParameters<typeof Restorer>[0]["makeLanes"] = options.isDry
    ? undefined
    : (onResult) =>
      new RestoreLanes({ options: sessionOptions, session, bytes, workers, onResult });
  const unmask = (reference: Parameters<typeof loader.unmask>[0]) => loader.unmask(reference);
  return new Restorer({ target, load, unmask, makeLanes, verify: options.verify, observer });
}

/** @throws {HoldfastError} before anything is written, if a path is not in the snapshot */
async function checkPaths(
  paths: string[],
  { root, load }: { root: Root; load: Load },
): Promise<void> {
  for (const path of paths) {
    if (path === "/") continue;
    if (await findEntry(root, { load, path }) === undefined) {
      throw new HoldfastError(`Cannot restore ${showPath(path)}: it is not in the snapshot`, {
        hint: "client ls shows what is",
      });
    }
  }
}

/** Counts and tells. */
class RestoreReport implements RestoreObserver {
  readonly #options: RestoreOptions;
  readonly #progress: Progress;
  readonly #counts = { files: 0, folders: 0, links: 0, kept: 0, same: 0 };
  readonly #failures = { damaged: 0, failed: 0, metadata: 0 };
  readonly #hints = new Set<string>();
  readonly #startedMs = performance.now();
  #bytes = 0;

  constructor(options: RestoreOptions, root: Root) {
    this.#options = options;
    this.#progress = new Progress("restoring", root.totals.bytes);
  }

  done(entry: Entry, decision: Decision): void {
    const { type, path } = entry;
    const { isDry, json } = this.#options;
    if (decision === "keep") this.#counts.kept++;
    else if (decision === "same") this.#counts.same++;
    else this.#counts[({ file: "files", dir: "folders", symlink: "links" } as const)[type]]++;
    if (!isDry || type === "dir") return;
    if (json) {
      print(JSON.stringify({ event: "plan", action: decision, path, type, size: entry.size }));
    } else print(`${decision.padEnd(5)} ${showPath(path)}`);
  }

  failed(path: string, { kind, message, hint, isCounted }: EntryFailure): void {
    this.#failures[kind]++;
    if (isCounted) this.#counts.files--;
    this.clear();
    if (this.#options.json) print(JSON.stringify({ event: "failed", kind, path, error: message }));
    const what =
      { damaged: "damaged", failed: "not restored", metadata: "without its metadata" }[kind];
    printError(`${what}: ${showPath(path)}: ${message}`);
    if (hint === undefined || this.#hints.has(hint)) return;
    this.#hints.add(hint);
    printError(`hint: ${hint}`);
  }

  progress(bytes: number): void {
    this.#bytes += bytes;
    this.#progress.set(this.#bytes);
  }

  clear(): void {
    this.#progress.clear();
  }

  /** Sums up. Returns the exit code. */
  finish(to: string): number {
    const { files, folders, links, kept, same } = this.#counts;
    const { damaged, failed, metadata } = this.#failures;
    const seconds = (performance.now() - this.#startedMs) / 1000;
    if (this.#options.json) {
      const counts = { ...this.#counts, bytes: this.#bytes, ...this.#failures };
      print(
        JSON.stringify({ event: "summary", ...counts, to, seconds: Number(seconds.toFixed(3)) }),
      );
    } else {
      const verb = this.#options.isDry ? "would restore" : "restored";
      printError(
        `${verb} ${files} files, ${folders} folders, ${links} links to ${to}` +
          ` (${formatByteSize(this.#bytes)} written in ${seconds.toFixed(1)} s)`,
      );
      if (kept > 0) printError(`${kept} were there and are left as they are (--overwrite)`);
      if (same > 0) printError(`${same} were there already`);
      if (damaged > 0) printError(`${damaged} are damaged, see above`);
      if (failed + metadata > 0) printError(`${failed + metadata} could not be restored fully`);
    }
    if (damaged > 0) return ExitCode.DAMAGED;
    return failed + metadata > 0 ? ExitCode.INCOMPLETE : ExitCode.DONE;
  }
}

function parseOptions(args: string[]): RestoreOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  const [snapshot, ...paths] = positionals;
  const to = readText(values, "to");
  if (snapshot === undefined || to === undefined) {
    throw new UsageError("Cannot restore: a snapshot and --to DIR are needed", {
      hint: "client restore latest --to restored",
    });
  }
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshot,
    paths: paths.length === 0 ? ["/"] : dropNested(paths.map(entryPath)),
    to: resolve(to),
    overwrite: readFlag<Overwrite>(values, {
      flag: "overwrite",
      parse: (text) => parseChoice(text, ["never", "changed", "always"]),
      otherwise: "never",
    }),
    verify: values.verify === true,
    isDry: values["dry-run"] === true,
    workers: readWorkers(values),
    json: values.json === true,
  };
}

/** In order, and none within another. */
function dropNested(paths: string[]): string[] {
  const kept: string[] = [];
  for (const path of paths.toSorted(comparePaths)) {
    if (kept.length === 0 || !isWithin(path, kept.at(-1)!)) kept.push(path);
  }
  return kept;
}
