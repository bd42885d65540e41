/** `client find`: where in the snapshots files of a name are. */
import picomatch from "picomatch";
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { type Command, print } from "../program.ts";
import type { Entry } from "../vault/entry.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { deviceNames } from "./device_choice.ts";
import { entryFields, showEntry } from "./entry_text.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { type Reading, withReading } from "./reading.ts";
import {
  type ChosenSnapshot,
  FILTER_FLAGS,
  FILTER_HELP,
  filterSnapshots,
  openSnapshot,
  readFilter,
  SHORT_ID_DIGITS,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { TreeCursor } from "./tree_cursor.ts";

const HELP = `client find: looks for names in snapshots

Usage: client find [flags] GLOB

GLOB is matched with the name of each entry (*.jpg), or with its whole path if it has a /
(/home/**/*.jpg). * and ? do not match a /, ** does; [a-z] and {a,b} work as in a shell.

  --snapshot NAME  only this snapshot: "latest", or the beginning of an id (all)
  --ignore-case    upper and lower case are the same
${FILTER_HELP}
${PROFILE_HELP}
  --json           one JSON object for each entry on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  snapshot: { type: "string" },
  "ignore-case": { type: "boolean" },
} as const;

interface FindOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  snapshot: string | undefined;
  matches: (path: string) => boolean;
  json: boolean;
}

export const FIND_COMMAND: Command = {
  summary: "look for names in snapshots",
  help: HELP,
  run: (args) => find(parseOptions(args)),
};

async function find({ folder, filter, snapshot, matches, json }: FindOptions): Promise<number> {
  return await withReading(folder, async (reading) => {
    for await (const chosen of selectSnapshots(reading, { snapshot, filter })) {
      const id = chosen.row.root.toHex();
      const cursor = new TreeCursor(chosen.root, reading.load());
      for (let entry; (entry = await cursor.next()) !== undefined;) {
        if (matches(entry.path)) show(entry, { id, json });
      }
    }
    return ExitCode.DONE;
  });
}

/** The one that is named, or all that the filter lets through, oldest first. */
async function* selectSnapshots(
  { profile, loader, choose }: Reading,
  { snapshot, filter }: { snapshot: string | undefined; filter: SnapshotFilter },
): AsyncGenerator<ChosenSnapshot> {
  if (snapshot !== undefined) return yield await choose(snapshot, filter);
  const names = await deviceNames(profile);
  for (const row of [...filterSnapshots(profile, { filter, names })]) {
    if (row.holdUntilMs === 0) yield { row, root: await openSnapshot(row, { profile, loader }) };
  }
}

function show(entry: Entry, { id, json }: { id: string; json: boolean }): void {
  if (json) print(JSON.stringify({ event: "entry", snapshot: id, ...entryFields(entry) }));
  else print(`${id.slice(0, SHORT_ID_DIGITS)} ${showEntry(entry)}`);
}

/** Whether a path is meant by a glob: by its last name, unless the glob speaks of folders. */
export function compileGlob(
  glob: string,
  { nocase }: { nocase: boolean },
): (path: string) => boolean {
  const matchesText = picomatch(glob, { dot: true, nocase, posixSlashes: false, windows: false });
  if (glob.includes("/")) return (path) => matchesText(path);
  return (path) => matchesText(path.slice(path.lastIndexOf("/") + 1));
}

function parseOptions(args: string[]): FindOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 1 || positionals[0] === "") {
    throw new UsageError("Cannot find: one glob is needed", { hint: "client find '*.jpg'" });
  }
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshot: readText(values, "snapshot"),
    matches: compileGlob(positionals[0], { nocase: values["ignore-case"] === true }),
    json: values.json === true,
  };
}
