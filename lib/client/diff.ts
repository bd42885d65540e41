/** `client diff`: what is different between two snapshots. */
import { ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import type { Entry } from "../vault/entry.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { showPath } from "./entry_text.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { withReading } from "./reading.ts";
import {
  FILTER_FLAGS,
  FILTER_HELP,
  readFilter,
  SNAPSHOT_HELP,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { TreeCursor } from "./tree_cursor.ts";
import { type Difference, diffTrees } from "./tree_diff.ts";

const HELP = `client diff: shows what is different between two snapshots

Usage: client diff [flags] SNAPSHOT SNAPSHOT

${SNAPSHOT_HELP}
One line for each entry: + it is only in the second, - it is only in the first, M its contents
are others, T its type is another, U only owner, mode or time are others.

${FILTER_HELP}
${PROFILE_HELP}
  --json           one JSON object for each entry on standard output`;

const FLAGS = { ...PROFILE_FLAG, ...JSON_FLAG, ...FILTER_FLAGS } as const;

interface DiffOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  snapshots: [string, string];
  json: boolean;
}

export const DIFF_COMMAND: Command = {
  summary: "show what is different between two snapshots",
  help: HELP,
  run: (args) => diff(parseOptions(args)),
};

async function diff({ folder, filter, snapshots, json }: DiffOptions): Promise<number> {
  return await withReading(folder, async ({ choose, load }) => {
    const [a, b] = [await choose(snapshots[0], filter), await choose(snapshots[1], filter)];
    const cursors = [new TreeCursor(a.root, load()), new TreeCursor(b.root, load())] as const;
    const counts = { "+": 0, "-": 0, M: 0, T: 0, U: 0 };
    let [addedBytes, removedBytes] = [0, 0];
    for await (const difference of diffTrees(...cursors)) {
      counts[difference.kind]++;
      addedBytes += difference.after?.size ?? 0;
      removedBytes += difference.before?.size ?? 0;
      show(difference, json);
    }
    if (json) {
      const { "+": added, "-": removed, M: modified, T: typeChanged, U: metadata } = counts;
      print(JSON.stringify({ event: "summary", added, removed, modified, typeChanged, metadata }));
    } else {
      printError(
        `${counts["+"]} added, ${counts["-"]} removed, ${counts.M + counts.T} changed, ` +
          `${counts.U} with another owner, mode or time; ` +
          `${formatByteSize(removedBytes)} before, ${
            formatByteSize(addedBytes)
          } after in these files`,
      );
    }
    return ExitCode.DONE;
  });
}

function show({ kind, before, after }: Difference, json: boolean): void {
  const { path } = (after ?? before) as Entry;
  if (json) {
    print(JSON.stringify({
      ...{ event: "difference", kind, path },
      ...{ sizeBefore: before?.size, sizeAfter: after?.size },
    }));
  } else print(`${kind} ${showPath(path)}`);
}

function parseOptions(args: string[]): DiffOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 2) {
    throw new UsageError("Cannot compare: two snapshots are needed", {
      hint: "client diff 4f1c8a latest",
    });
  }
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    snapshots: [positionals[0], positionals[1]],
    json: values.json === true,
  };
}
