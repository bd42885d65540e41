/** An epoch that this device has begun: its secrets are kept before the journal hears of it. */
import { DamagedError } from "../errors.ts";
import { Role } from "../identity.ts";
import { checkKeyring, type Keyring, narrowKeyring } from "../vault/keyring.ts";
import type { Profile } from "./profile.ts";
import { readNextKeyring, removeNextKeyring, writeKeyring } from "./profile_secrets.ts";

/**
 * Takes the secrets of an epoch whose event has come into the journal though its run was cut short, and forgets those of
 * one that another owner's came before.
 */
export async function adoptBegunEpoch(profile: Profile): Promise<void> {
  const { folder, device, journal } = profile;
  const next = await readNextKeyring(folder, device);
  // If it has not begun, another run may be about to begin it.
  if (next === undefined || next.epochs.length > journal.facts.epochs.length) return;
  const isAhead = next.epochs.length > profile.keyring.epochs.length;
  const hasBegun = isAhead && await isOfJournal(next, profile);
  if (hasBegun) profile.keyring = next;
  if (!folder.isWritable) return;
  if (hasBegun) await writeKeyring(folder, profile);
  await removeNextKeyring(folder);
}

async function isOfJournal(keyring: Keyring, { journal }: Profile): Promise<boolean> {
  try {
    await checkKeyring(narrowKeyring(keyring, Role.WRITER), journal.facts);
    return true;
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return false; // another owner's epoch came first
  }
}
