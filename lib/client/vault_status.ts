/**
 * How the backups of each device stand. The journal proves which there are and when they came; whether one is good, which
 * is to say there with all that it reaches and undamaged, is the server's word (HAS of its root).
 */
import { DamagedError, RefusedError } from "../errors.ts";
import { Role } from "../identity.ts";
import type { DeviceFacts, DrillFacts } from "../journal_facts.ts";
import { VAULT_CLIENT } from "../limits.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import type { Root } from "../vault/root.ts";
import { deviceNames } from "./device_choice.ts";
import { RecordLoader } from "./record_loader.ts";
import { openSnapshot } from "./snapshot_choice.ts";
import type { VaultAccess } from "./vault_access.ts";

/** The snapshots in force of one device and one set of paths. */
export interface SetStatus {
  snapshots: number;
  /** The newest one that is good; undefined if none is. */
  good: SnapshotRow | undefined;
  /** How many newer ones than that are not. */
  broken: number;
  /** Of the good one; not there for a device that may only write or has not the keys. */
  root: Root | undefined;
}

export interface DeviceStatus {
  device: DeviceFacts;
  name: string;
  /** Newest first; those without a good one last. */
  sets: SetStatus[];
  /** Its newest drill, if it ever made one: by its own word, signed. */
  drill: DrillFacts | undefined;
}

/** All devices that are not revoked, in the order in which they joined. */
export async function findDeviceStatus(vault: VaultAccess): Promise<DeviceStatus[]> {
  const { profile } = vault;
  const names = await deviceNames(profile);
  const { devices, snapshots, drills } = profile.journal.facts;
  const groups = groupSnapshots(snapshots);
  const found = [...devices.values()]
    .filter(({ revoked }) => !revoked)
    .map((device) => ({
      ...{ device, name: names[device.index], drill: drills.get(device.id.toHex()) },
      sets: [...groups.get(device.index)?.values() ?? []].map((rows) => new SetSearch(rows)),
    }));
  const searches = found.flatMap(({ sets }) => sets);
  for (let open = searches; open.length > 0;) {
    await findGood(vault, open);
    open = await openRoots(vault, open);
  }
  return found.map(({ sets, ...device }) => ({
    ...device,
    sets: sets.map((search) => search.status).sort(newestFirst),
  }));
}

/** Time of a device's newest good snapshot; undefined if it has none. */
export function newestGoodMs({ sets }: Pick<DeviceStatus, "sets">): number | undefined {
  return sets[0]?.good?.timeMs;
}

/** Goes back from the newest snapshot until one is good. */
class SetSearch {
  readonly #rows: SnapshotRow[];
  #broken = 0;
  #root: Root | undefined;

  /** @param rows oldest first */
  constructor(rows: SnapshotRow[]) {
    this.#rows = rows;
  }

  /** The one that is looked at. */
  get row(): SnapshotRow | undefined {
    return this.#rows[this.#rows.length - 1 - this.#broken];
  }

  skip(): void {
    this.#broken++;
  }

  setRoot(root: Root): void {
    this.#root = root;
  }

  get status(): SetStatus {
    const { row: good } = this;
    return { snapshots: this.#rows.length, good, broken: this.#broken, root: this.#root };
  }
}

/** By device, and by label of the set; each oldest first. */
function groupSnapshots(
  snapshots: Iterable<SnapshotRow>,
): Map<number, Map<string, SnapshotRow[]>> {
  const groups = new Map<number, Map<string, SnapshotRow[]>>();
  for (const row of snapshots) {
    if (row.holdUntilMs !== 0) continue;
    const sets = groups.get(row.device) ?? new Map<string, SnapshotRow[]>();
    groups.set(row.device, sets);
    const label = row.setLabel.toHex();
    const rows = sets.get(label);
    if (rows === undefined) sets.set(label, [row]);
    else rows.push(row);
  }
  return groups;
}

/** All sets at once, so that it takes as many questions as the worst set has broken snapshots. */
async function findGood({ session }: VaultAccess, searches: SetSearch[]): Promise<void> {
  for (let open = searches; open.length > 0;) {
    open = open.filter(({ row }) => row !== undefined);
    const roots = open.map(({ row }) => row!.root);
    const isGood = await session.has(roots, { silenceMs: VAULT_CLIENT.commitMs });
    open = open.filter((_, i) => !isGood[i]);
    for (const search of open) search.skip();
  }
}

/** A root that does not open is no good one, whatever the server says. Gives the searches that must go on. */
async function openRoots(
  { profile, session }: VaultAccess,
  searches: SetSearch[],
): Promise<SetSearch[]> {
  if (profile.keyring.role === Role.WRITER) return [];
  const loader = await RecordLoader.create(profile, session);
  const open: SetSearch[] = [];
  for (const search of searches) {
    if (search.row === undefined) continue;
    try {
      search.setRoot(await openSnapshot(search.row, { profile, loader }));
    } catch (error) {
      if (error instanceof RefusedError) continue; // of an epoch that this device has no key of
      if (!(error instanceof DamagedError)) throw error;
      search.skip();
      open.push(search);
    }
  }
  return open;
}

function newestFirst(a: SetStatus, b: SetStatus): number {
  return (b.good?.timeMs ?? -1) - (a.good?.timeMs ?? -1);
}
