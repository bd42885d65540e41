/** What a server can tell of a vault's snapshots. */
import type { JournalState } from "../journal_state.ts";
import { UPKEEP } from "../limits.ts";

export interface ListedSnapshot {
  /** Of the root, hexadecimal. */
  id: string;
  /** Server's time of the commit, ISO 8601. */
  committed: string;
  /** Id of the device, hexadecimal. */
  device: string;
  /** It is forgotten, and held until then. */
  heldUntil?: string;
}

/** The snapshots of one vault, oldest first. */
export type VaultSnapshots =
  & { vault: string }
  & ({ snapshots: ListedSnapshot[] } | { error: string });

/** The newest snapshots, in force and in hold. */
export function listSnapshots({ facts }: JournalState): ListedSnapshot[] {
  const devices = [...facts.devices.keys()];
  let skip = Math.max(facts.snapshots.size - UPKEEP.listedSnapshotsMax, 0);
  const listed: ListedSnapshot[] = [];
  for (const { root, timeMs, device, holdUntilMs } of facts.snapshots) {
    if (skip-- > 0) continue;
    const committed = new Date(timeMs).toISOString();
    const snapshot = { id: root.toHex(), committed, device: devices[device] };
    const isHeld = holdUntilMs !== 0;
    listed.push(
      isHeld ? { ...snapshot, heldUntil: new Date(holdUntilMs).toISOString() } : snapshot,
    );
  }
  return listed;
}
