/** Forgets snapshots and brings them back, by signed events of an owner (docs/format.md, "Policy"). */
import { HoldfastError, RefusedError } from "../errors.ts";
import { Role } from "../identity.ts";
import { encodeRoots } from "../journal_body.ts";
import { EventKind } from "../journal.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { VAULT } from "../limits.ts";
import { appendEvent, type VaultAccess } from "./vault_access.ts";

/** @throws {RefusedError} if this device is no owner */
export function requireOwner({ profile }: VaultAccess, purpose: string): void {
  if (profile.keyring.role === Role.OWNER) return;
  throw new RefusedError(`Cannot ${purpose}: only an owner of the vault may`);
}

/**
 * Forgets snapshots in force, or brings forgotten ones back, in as many events as it takes. What another device has
 * done meanwhile is not done again.
 */
export async function changeSnapshots(
  vault: VaultAccess,
  kind: typeof EventKind.FORGET | typeof EventKind.UNFORGET,
  rows: SnapshotRow[],
): Promise<void> {
  const { journal } = vault.profile;
  const isOpen = ({ root }: SnapshotRow) => {
    const now = journal.snapshot(root);
    return now !== undefined && (now.holdUntilMs === 0) === (kind === EventKind.FORGET);
  };
  for (let left = rows; (left = left.filter(isOpen)).length > 0;) {
    await appendEvent(vault, () => {
      const roots = left.filter(isOpen).map(({ root }) => root);
      if (roots.length === 0) {
        throw new HoldfastError("Cannot change snapshots: another device has just done it");
      }
      const body = encodeRoots(roots.slice(0, VAULT.rootsPerEventMax));
      return Promise.resolve({ kind, body });
    });
  }
}
