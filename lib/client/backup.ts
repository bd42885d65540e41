/** `client backup`: makes a snapshot of some paths. */
import { resolve } from "node:path";
import { describeError, ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { type FlagValues, formatByteSize, parseFlags } from "../flags.ts";
import { BACKUP, EXCLUDE_FILE_BYTES_MAX, VAULT } from "../limits.ts";
import { escapeText } from "../log.ts";
import { type Command, print, printError } from "../program.ts";
import { findPathFault } from "../vault/path_order.ts";
import type { BackupPlan } from "./backup_attempt.ts";
import { BackupProgress, formatSeconds } from "./backup_progress.ts";
import { type BackupResult, runBackup } from "./backup_run.ts";
import type { BackupTally } from "./backup_tally.ts";
import { JSON_FLAG, PROFILE_FLAG, PROFILE_HELP, profileOf } from "./command_flags.ts";
import { runDryBackup } from "./dry_backup.ts";
import { type ExcludeRules, makeExclude } from "./exclude.ts";
import { Interruption } from "./interrupt.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { readProfile } from "./profile.ts";
import { type FolderIdentity, sortRoots } from "./scan.ts";
import { hostName } from "./terminal.ts";
import { TreeScanner } from "./tree_scanner.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client backup: makes a snapshot of files and folders

Usage: client backup [flags] PATH...

Only what is new or has changed since the last snapshot of the same paths is read, and only
what the vault does not have yet is sent. If it is interrupted, the next one goes on from
there.

  --exclude GLOB       leave out what matches; with a / the whole path is compared, otherwise
                       the name. Can be given more than once, as can the next two
  --exclude-file FILE  leave out what the patterns in FILE match, in the syntax of .gitignore;
                       they are relative to each PATH
  --tag TEXT           tag the snapshot
  --one-file-system    stay on the file systems of the paths
  --dry-run            only show which files would be read; nothing is sent
${PROFILE_HELP}
  --json               one JSON object on standard output

The profile itself is left out. It needs --allow-net and --allow-read; with permission to
write in the profile it also keeps what the next backup is to be compared with.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  exclude: { type: "string", multiple: true },
  "exclude-file": { type: "string", multiple: true },
  tag: { type: "string", multiple: true },
  "one-file-system": { type: "boolean" },
  "dry-run": { type: "boolean" },
} as const;

interface BackupCommandOptions {
  roots: string[];
  exclude: ExcludeRules;
  tags: string[];
  isOneFileSystem: boolean;
  isDry: boolean;
  folder: ProfileFolder;
  json: boolean;
}

export const BACKUP_COMMAND: Command = {
  summary: "make a snapshot of files and folders",
  help: HELP,
  run: (args) => backup(parseOptions(args)),
};

async function backup(options: BackupCommandOptions): Promise<number> {
  const { folder, isDry, json } = options;
  const startedAt = performance.now();
  using scanner = makeScanner(options);
  if (isDry) {
    const profile = await readProfile(folder);
    const tally = await runDryBackup(profile, {
      plan: makePlan(options, { scanner, host: hostName(profile.deviceName) }),
      json,
    });
    return finish(tally);
  }
  using interruption = new Interruption(
    "interrupted: what the server has is kept for the next time",
  );
  const { interrupted } = interruption;
  const vault = await Promise.race([openVault(folder), interrupted]);
  try {
    if (!folder.isWritable) {
      printError(`note: no permission to write in ${folder.path}: the next backup is slower`);
    }
    using progress = new BackupProgress();
    const result = await runBackup(vault, {
      plan: makePlan(options, { scanner, host: hostName(vault.profile.deviceName) }),
      interrupted,
      workers: Math.min(BACKUP.workersMax, Math.max(1, navigator.hardwareConcurrency)),
      onPass: (tally, expected) => progress.follow(tally, expected),
    });
    progress[Symbol.dispose]();
    await vault.session.closeSession();
    report(result, { options, seconds: (performance.now() - startedAt) / 1000 });
    return finish(result.tally);
  } finally {
    vault.session.close();
  }
}

function makeScanner(
  { roots, exclude, isOneFileSystem, folder }: BackupCommandOptions,
): TreeScanner {
  return new TreeScanner({ roots, exclude, isOneFileSystem, ownFolder: identify(folder.path) });
}

function makePlan(
  { roots, tags }: BackupCommandOptions,
  { scanner, host }: { scanner: TreeScanner; host: string },
): BackupPlan {
  return {
    ...{ roots, tags, host },
    scan: (tally) => scanner.scan(tally),
  };
}

function finish(tally: BackupTally): number {
  const { skipped, skippedCount } = tally;
  // A name may hold anything, and must not move the cursor of a terminal.
  for (const { path, reason } of skipped) printError(`skipped ${escapeText(path)}: ${reason}`);
  if (skippedCount > skipped.length) printError(`and ${skippedCount - skipped.length} more`);
  return skippedCount > 0 ? ExitCode.INCOMPLETE : ExitCode.DONE;
}

function report(
  { root, tally, sent, passes }: BackupResult,
  { options, seconds }: { options: BackupCommandOptions; seconds: number },
): void {
  const { newFiles, changedFiles, unchangedFiles, folders, scannedBytes, bytesRead } = tally;
  if (options.json) {
    print(JSON.stringify({
      event: "backup",
      snapshot: root.toHex(),
      files: { new: newFiles, changed: changedFiles, unchanged: unchangedFiles },
      ...{ folders, bytes: scannedBytes, bytesRead, bytesSent: sent.bytes },
      ...{ recordsSent: sent.records, passes, skippedCount: tally.skippedCount },
      skipped: tally.skipped,
      durationMs: Math.round(seconds * 1000),
    }));
    return;
  }
  const files = newFiles + changedFiles + unchangedFiles;
  printError(
    `snapshot ${root.toHex().slice(0, 16)}: ${files} files, ${formatByteSize(scannedBytes)}; ` +
      `${newFiles} new, ${changedFiles} changed; ${formatByteSize(bytesRead)} read, ` +
      `${formatByteSize(sent.bytes)} sent, ${formatSeconds(seconds)}`,
  );
}

function parseOptions(args: string[]): BackupCommandOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length === 0) {
    throw new UsageError("Cannot make a backup: no path is named", {
      hint: "client backup PATH...; --help shows the flags",
    });
  }
  const folder = profileOf(values);
  const patternTexts = readTexts(values, "exclude-file").map(readPatterns);
  const exclude = { globs: readTexts(values, "exclude"), patternTexts };
  makeExclude(exclude); // complains about bad globs
  return {
    roots: sortRoots(positionals.map(checkRoot)),
    exclude,
    tags: checkTags(readTexts(values, "tag")),
    isOneFileSystem: values["one-file-system"] === true,
    isDry: values["dry-run"] === true,
    folder,
    json: values.json === true,
  };
}

/** @throws {UsageError} if there is nothing, or nothing that can be backed up */
function checkRoot(text: string): string {
  const path = resolve(text);
  const fault = findPathFault(path);
  if (fault !== undefined) throw new UsageError(`Cannot back up ${escapeText(text)}: ${fault}`);
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(`Cannot back up ${escapeText(text)}: there is nothing`);
  }
  return path;
}

function checkTags(tags: string[]): string[] {
  if (tags.length > VAULT.tagsMax) {
    throw new UsageError(`Cannot use ${tags.length} tags: ${VAULT.tagsMax} at most`);
  }
  if (tags.some((tag) => tag === "" || tag.length > VAULT.tagCharsMax)) {
    throw new UsageError(`Cannot use tag: it has 1 to ${VAULT.tagCharsMax} characters`);
  }
  return [...new Set(tags)];
}

function readPatterns(path: string): string {
  try {
    const { size } = Deno.statSync(path);
    if (size > EXCLUDE_FILE_BYTES_MAX) throw new HoldfastError("it is too large");
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new UsageError(`Cannot read ${escapeText(path)}: ${describeError(error)}`);
  }
}

function readTexts(values: FlagValues, flag: string): string[] {
  const texts = values[flag];
  return Array.isArray(texts) ? texts.map(String) : [];
}

function identify(path: string): FolderIdentity | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return ino === null ? undefined : { device: dev, inode: ino };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
