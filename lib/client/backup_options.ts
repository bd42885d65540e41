/** What the command line of `client backup` says. */
import { resolve } from "node:path";
import { describeError, HoldfastError, UsageError } from "../errors.ts";
import { type FlagValues, parseFlags } from "../flags.ts";
import { EXCLUDE_FILE_BYTES_MAX, VAULT } from "../limits.ts";
import { escapeText } from "../log.ts";
import { findPathFault } from "../vault/path_order.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readWorkers, WORKERS_FLAG } from "./command_flags.ts";
import type { ExcludeRules } from "./exclude.ts";
import { loadExclude } from "./exclude_load.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { sortRoots } from "./scan.ts";

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  exclude: { type: "string", multiple: true },
  "exclude-file": { type: "string", multiple: true },
  tag: { type: "string", multiple: true },
  "one-file-system": { type: "boolean" },
  ...WORKERS_FLAG,
  "dry-run": { type: "boolean" },
} as const;

export interface BackupCommandOptions {
  roots: string[];
  exclude: ExcludeRules;
  tags: string[];
  isOneFileSystem: boolean;
  isDry: boolean;
  workers: number | undefined;
  folder: ProfileFolder;
  json: boolean;
}

/** @throws {UsageError} if it makes no sense */
export async function parseBackupOptions(args: string[]): Promise<BackupCommandOptions> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length === 0) {
    throw new UsageError("Cannot make a backup: no path is named", {
      hint: "client backup PATH...; --help shows the flags",
    });
  }
  const folder = profileOf(values);
  const patternTexts = readTexts(values, "exclude-file").map(readPatterns);
  const exclude = { globs: readTexts(values, "exclude"), patternTexts };
  await loadExclude(exclude); // complains about bad globs
  return {
    roots: sortRoots(positionals.map(checkRoot)),
    exclude,
    tags: checkTags(readTexts(values, "tag")),
    isOneFileSystem: values["one-file-system"] === true,
    isDry: values["dry-run"] === true,
    workers: readWorkers(values),
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
