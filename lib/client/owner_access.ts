/** What the commands of owners begin with: a login, and what an owner before has left undone. */
import { RefusedError } from "../errors.ts";
import { Role } from "../identity.ts";
import { printError } from "../program.ts";
import { isChangeDue, leaveSlots } from "./key_change.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { openVault, type VaultAccess } from "./vault_access.ts";

/**
 * Opens the vault for an owner, does the work, and closes it.
 *
 * @param purpose what only an owner may, after "Cannot"
 * @throws {RefusedError} if this device is not one
 */
export async function withOwner<T>(
  folder: ProfileFolder,
  { purpose, work }: { purpose: string; work: (vault: VaultAccess) => Promise<T> },
): Promise<T> {
  folder.checkWritable(purpose);
  const vault = await openVault(folder);
  try {
    if (!isOwner(vault)) {
      throw new RefusedError(`Cannot ${purpose}: only an owner of the vault may`);
    }
    await finishKeyChange(vault);
    return await work(vault);
  } finally {
    vault.session.close();
  }
}

export function isOwner({ profile }: VaultAccess): boolean {
  return profile.journal.device(profile.device.id)?.role === Role.OWNER;
}

/** Gives the newest keys to those who lack them. Whoever the operator has brought back is left out. */
export async function finishKeyChange(vault: VaultAccess): Promise<void> {
  const count = await leaveSlots(vault, { includeRestored: false });
  if (count > 0) printError(`note: the vault's newest keys were left for ${count} more`);
}

/** Says so if the keys should be changed. */
export function noteChangeDue({ profile }: VaultAccess): void {
  if (!isChangeDue(profile.journal.facts)) return;
  printError("warning: a device that could read was revoked, and still knows the vault's keys");
  printError('hint: "client keys rotate" changes them');
}
