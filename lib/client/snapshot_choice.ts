/** Which snapshot a command means: `latest`, or the beginning of an id; and which ones a filter lets through. */
import { equalBytes } from "../bytes.ts";
import { DamagedError, UsageError } from "../errors.ts";
import type { FlagValues } from "../flags.ts";
import type { JournalFacts } from "../journal_facts.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import type { Root } from "../vault/root.ts";
import { deriveLabelKey, tagLabel } from "../vault/secrets.ts";
import { readText } from "./command_flags.ts";
import { deviceNames } from "./device_choice.ts";
import type { Profile } from "./profile.ts";
import type { RecordLoader } from "./record_loader.ts";

const LATEST = "latest";
/** Digits that stand for a snapshot in tables. */
export const SHORT_ID_DIGITS = 12;
const PREFIX_DIGITS_MIN = 4;

/** For `parseFlags`. */
export const FILTER_FLAGS = { device: { type: "string" }, tag: { type: "string" } } as const;

export const FILTER_HELP = `  --device NAME    only snapshots of this device; also for latest
  --tag TAG        only snapshots with this tag; also for latest`;

export const SNAPSHOT_HELP =
  `SNAPSHOT is "latest" or the beginning of an id that "client snapshots" shows.`;

export interface SnapshotFilter {
  device: string | undefined;
  tag: string | undefined;
}

/** A snapshot that was chosen, opened. */
export interface ChosenSnapshot {
  row: SnapshotRow;
  root: Root;
}

export function readFilter(values: FlagValues): SnapshotFilter {
  return { device: readText(values, "device"), tag: readText(values, "tag") };
}

/** The snapshots that a filter lets through, oldest first. */
export function* filterSnapshots(
  { journal, keyring }: Profile,
  { filter, names }: { filter: SnapshotFilter; names: string[] },
): Generator<SnapshotRow> {
  const label = filter.tag === undefined
    ? undefined
    : tagLabel(deriveLabelKey(keyring.epochs[0].writeSecret), filter.tag);
  for (const row of journal.facts.snapshots) {
    if (filter.device !== undefined && !isDevice(row, { name: filter.device, names, journal })) {
      continue;
    }
    if (label !== undefined && !row.tagLabels.some((tag) => equalBytes(tag, label))) continue;
    yield row;
  }
}

/**
 * @throws {UsageError} if no snapshot, or more than one, is meant
 * @throws {DamagedError} if its root is not what the journal says
 */
export async function chooseSnapshot(
  name: string,
  { profile, loader, filter }: { profile: Profile; loader: RecordLoader; filter: SnapshotFilter },
): Promise<ChosenSnapshot> {
  const row = await findSnapshot(name, { profile, filter });
  return { row, root: await openSnapshot(row, { profile, loader }) };
}

/** The root of a snapshot, checked against the journal. */
export async function openSnapshot(
  row: SnapshotRow,
  { profile, loader }: { profile: Profile; loader: RecordLoader },
): Promise<Root> {
  const root = await loader.loadRoot(row.root);
  const device = [...profile.journal.facts.devices.keys()][row.device];
  if (root.device !== device) {
    throw new DamagedError("Cannot trust snapshot: another device than its own has committed it");
  }
  return root;
}

/**
 * What the journal says of one snapshot, forgotten ones included.
 *
 * @throws {UsageError} if no snapshot, or more than one, is meant
 */
export async function findSnapshot(
  name: string,
  { profile, filter }: { profile: Profile; filter: SnapshotFilter },
): Promise<SnapshotRow> {
  const names = await deviceNames(profile);
  let found: SnapshotRow | undefined;
  for (const row of filterSnapshots(profile, { filter, names })) {
    if (name === LATEST) {
      if (row.holdUntilMs === 0) found = row;
      continue;
    }
    if (!row.root.toHex().startsWith(name.toLowerCase())) continue;
    if (found !== undefined) {
      throw new UsageError(`Cannot choose snapshot ${name}: more than one begins so`, {
        hint: "give more digits of its id",
      });
    }
    found = row;
  }
  if (found !== undefined && (name === LATEST || name.length >= PREFIX_DIGITS_MIN)) return found;
  const hint = `"latest", or at least ${PREFIX_DIGITS_MIN} digits of an id of "client snapshots"`;
  throw new UsageError(`Cannot find snapshot ${JSON.stringify(name)}`, { hint });
}

function isDevice(
  row: SnapshotRow,
  { name, names, journal }: {
    name: string;
    names: string[];
    journal: { facts: Readonly<JournalFacts> };
  },
): boolean {
  if (names[row.device] === name) return true;
  return [...journal.facts.devices.keys()][row.device] === name.toLowerCase();
}
