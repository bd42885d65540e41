/** `client ls`: what is in a folder of a snapshot. */
import { ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { type Command, print } from "../program.ts";
import type { Entry } from "../vault/entry.ts";
import { isWithin } from "../vault/path_order.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { entryFields, showEntry, showPath } from "./entry_text.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { entryPath, withReading } from "./reading.ts";
import {
  FILTER_FLAGS,
  FILTER_HELP,
  readFilter,
  SNAPSHOT_HELP,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { TreeCursor } from "./tree_cursor.ts";

const HELP = `client ls: shows what is in a folder of a snapshot

Usage: client ls [flags] SNAPSHOT [PATH]

${SNAPSHOT_HELP}
PATH is absolute, as it was backed up (/).

  --recursive      also what is in the folders below
${FILTER_HELP}
${PROFILE_HELP}
  --json           one JSON object for each entry on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  recursive: { type: "boolean", short: "r" },
} as const;

interface LsOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  snapshot: string;
  path: string;
  recursive: boolean;
  json: boolean;
}

export const LS_COMMAND: Command = {
  summary: "show what is in a folder of a snapshot",
  help: HELP,
  run: (args) => ls(parseOptions(args)),
};

async function ls({ folder, filter, snapshot, path, recursive, json }: LsOptions): Promise<number> {
  return await withReading(folder, async ({ choose, load }) => {
    const { root } = await choose(snapshot, filter);
    const cursor = new TreeCursor(root, load());
    await cursor.seek(path);
    let count = 0;
    for (;;) {
      const entry = await cursor.next();
      if (entry === undefined || !isWithin(entry.path, path)) break;
      count++;
      const isFolderItself = entry.path === path && entry.type === "dir";
      if (!isFolderItself) show(entry, json);
      if (!isFolderItself && !recursive && entry.type === "dir") {
        await cursor.passFolder(entry.path);
      }
    }
    if (count === 0 && path !== "/") {
      throw new HoldfastError(`Cannot list ${showPath(path)}: it is not in the snapshot`);
    }
    return ExitCode.DONE;
  });
}

function show(entry: Entry, json: boolean): void {
  print(json ? JSON.stringify({ event: "entry", ...entryFields(entry) }) : showEntry(entry));
}

function parseOptions(args: string[]): LsOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  const [snapshot, path = "/"] = positionals;
  if (snapshot === undefined || positionals.length > 2) {
    throw new UsageError("Cannot list: one snapshot and at most one path are needed", {
      hint: "client ls latest /home",
    });
  }
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshot,
    path: entryPath(path),
    recursive: values.recursive === true,
    json: values.json === true,
  };
}
