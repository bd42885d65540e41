/** `client snapshots`: which snapshots there are. */
import { DamagedError, describeError, ExitCode, RefusedError, UsageError } from "../errors.ts";
import { formatByteSize, parseCount, parseFlags, readFlag } from "../flags.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { Role } from "../identity.ts";
import { type Command, print, printError } from "../program.ts";
import type { Root } from "../vault/root.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { showPath, showTime } from "./entry_text.ts";
import { deviceNames } from "./device_choice.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { entryPath } from "./reading.ts";
import { RecordLoader } from "./record_loader.ts";
import {
  FILTER_FLAGS,
  FILTER_HELP,
  filterSnapshots,
  openSnapshot,
  readFilter,
  SHORT_ID_DIGITS,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client snapshots: shows which snapshots there are

Usage: client snapshots [flags]

One line each, oldest first: id, time, device, host, size, paths, tags. A device that may only
write sees what the journal says: neither host nor paths.

${FILTER_HELP}
  --host HOST      only snapshots of this machine
  --path PATH      only snapshots of this path
  --last N         only the newest N
  --all            also those that are forgotten and can still be brought back
${PROFILE_HELP}
  --json           one JSON object for each snapshot on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...FILTER_FLAGS,
  host: { type: "string" },
  path: { type: "string" },
  last: { type: "string" },
  all: { type: "boolean" },
} as const;

interface SnapshotsOptions {
  folder: ProfileFolder;
  filter: SnapshotFilter;
  host: string | undefined;
  path: string | undefined;
  last: number;
  all: boolean;
  json: boolean;
}

export const SNAPSHOTS_COMMAND: Command = {
  summary: "show which snapshots there are",
  help: HELP,
  run: (args) => snapshots(parseOptions(args)),
};

async function snapshots(options: SnapshotsOptions): Promise<number> {
  const { profile, session } = await openVault(options.folder);
  let damagedCount = 0;
  try {
    const names = await deviceNames(profile);
    const canRead = profile.keyring.role !== Role.WRITER;
    const loader = canRead ? await RecordLoader.create(profile, session) : undefined;
    const { filter, json, path, host } = options;
    if (!canRead && (path !== undefined || host !== undefined)) {
      throw new RefusedError("Cannot filter by host or path: this device may only write", {
        hint: "--device and --tag work",
      });
    }
    if (!json) print(HEADINGS);
    // With --last, those that may still be pushed out by younger ones.
    const lines: string[] = [];
    for (const row of selectRows([...filterSnapshots(profile, { filter, names })], options)) {
      let root: Root | undefined;
      try {
        if (loader !== undefined) root = await openSnapshot(row, { profile, loader });
      } catch (error) {
        if (error instanceof DamagedError) damagedCount++;
        else if (!(error instanceof RefusedError)) throw error;
        const state = error instanceof DamagedError ? "damaged" : "not to be read here";
        printError(`${state}: snapshot ${shortId(row)}: ${describeError(error)}`);
      }
      if (root !== undefined && !isWanted(root, options)) continue;
      const device = names[row.device];
      lines.push(
        json
          ? JSON.stringify(snapshotFields({ row, root, device }))
          : formatRow({ row, root, device }),
      );
      if (options.last === Infinity) print(lines.pop()!);
      else if (lines.length > options.last) lines.shift();
    }
    for (const line of lines) print(line);
  } finally {
    session.close();
  }
  return damagedCount > 0 ? ExitCode.DAMAGED : ExitCode.DONE;
}

const HEADINGS = `${"id".padEnd(SHORT_ID_DIGITS)}  ${
  "time".padEnd(19)
}  device  host  size  paths  tags`;

function selectRows(rows: SnapshotRow[], options: SnapshotsOptions): SnapshotRow[] {
  const { all, last, host, path } = options;
  const shown = all ? rows : rows.filter(({ holdUntilMs }) => holdUntilMs === 0);
  const isDecided = host === undefined && path === undefined;
  return isDecided && last !== Infinity ? shown.slice(-last) : shown;
}

/** What only the root itself tells. */
function isWanted({ host, paths }: Root, wanted: SnapshotsOptions): boolean {
  if (wanted.host !== undefined && host !== wanted.host) return false;
  return wanted.path === undefined || paths.includes(wanted.path);
}

interface Described {
  row: SnapshotRow;
  /** Not there for a device that may only write, or if it is damaged. */
  root: Root | undefined;
  device: string;
}

function formatRow({ row, root, device }: Described): string {
  const columns = [shortId(row), showTime(root?.timeMs ?? row.timeMs), showPath(device)];
  if (root === undefined) columns.push("?", "?", "?");
  else {
    columns.push(
      showPath(root.host),
      formatByteSize(root.totals.bytes),
      root.paths.map(showPath).join(","),
      root.tags.map(showPath).join(","),
    );
  }
  if (row.holdUntilMs > 0) columns.push(`(forgotten, gone after ${showTime(row.holdUntilMs)})`);
  return columns.join("  ").trimEnd();
}

function snapshotFields({ row, root, device }: Described): Record<string, unknown> {
  const fields: Record<string, unknown> = {
    event: "snapshot",
    id: row.root.toHex(),
    committed: new Date(row.timeMs).toISOString(),
    device,
  };
  if (row.holdUntilMs > 0) fields.heldUntil = new Date(row.holdUntilMs).toISOString();
  if (root === undefined) return fields;
  const { host, paths, tags, totals, skipped } = root;
  return {
    ...fields,
    time: new Date(root.timeMs).toISOString(),
    host,
    paths,
    tags,
    ...totals,
    skipped,
  };
}

function shortId({ root }: SnapshotRow): string {
  return root.toHex().slice(0, SHORT_ID_DIGITS);
}

function parseOptions(args: string[]): SnapshotsOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const path = readText(values, "path");
  return {
    folder: profileOf(values),
    filter: readFilter(values),
    host: readText(values, "host"),
    path: path === undefined ? undefined : entryPath(path),
    last: readFlag(values, {
      flag: "last",
      parse: (text) => parseCount(text),
      otherwise: Infinity,
    }),
    all: values.all === true,
    json: values.json === true,
  };
}
