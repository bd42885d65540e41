/**
 * A new epoch of a vault's keys (docs/format.md, "Keys"): new secrets, known to nobody before, for everything that is
 * written from now on, and slots that bring them to everybody who is still in the vault.
 */
import { RefusedError } from "../errors.ts";
import { Role } from "../identity.ts";
import { encodeKeys, encodeSlot } from "../journal_body.ts";
import type { JournalFacts } from "../journal_facts.ts";
import { EventKind } from "../journal.ts";
import {
  type Keyring,
  MISSING_EPOCH,
  narrowKeyring,
  sealRecoverySlot,
  sealSlot,
} from "../vault/keyring.ts";
import { generateReadKey, importReadKey } from "../vault/private_key.ts";
import { deriveWriteKeys, WRITE_SECRET_BYTES } from "../vault/secrets.ts";
import { hasNewestKeys } from "./journal_sync.ts";
import { removeNextKeyring, writeKeyring, writeNextKeyring } from "./profile_secrets.ts";
import { appendEvent, type VaultAccess } from "./vault_access.ts";

/** Whether those that the server's operator has brought back get keys too: only if an owner says so. */
export interface SlotOptions {
  includeRestored: boolean;
}

/** What a change of keys did. */
export interface KeyChange {
  epoch: number;
  /** Slots that were left, that of the recovery code included. */
  slots: number;
}

/**
 * Begins an epoch, and leaves its keys for everybody.
 *
 * @throws {RefusedError} if another owner began one meanwhile
 */
export async function rotateKeys(vault: VaultAccess, options: SlotOptions): Promise<KeyChange> {
  const { profile } = vault;
  const { folder, device, journal } = profile;
  const epoch = journal.facts.epochs.length + 1;
  const keyring = await addEpoch(profile.keyring, epoch);
  const { writeSecret, readKey } = keyring.epochs[epoch - 1];
  const body = encodeKeys({
    epoch,
    readKey: (await importReadKey(readKey!)).publicKey,
    secretCheck: deriveWriteKeys(writeSecret).secretCheck,
  });
  await writeNextKeyring(folder, { device, keyring });
  await appendEvent(vault, () => {
    if (journal.facts.epochs.length + 1 !== epoch) {
      throw new RefusedError("Cannot change keys: another owner has just done so");
    }
    return Promise.resolve({ kind: EventKind.KEYS, body });
  });
  profile.keyring = keyring;
  await writeKeyring(folder, profile);
  await removeNextKeyring(folder);
  return { epoch, slots: await leaveSlots(vault, options) };
}

/**
 * Leaves the newest keys for those that do not have them yet: after a change of keys that was cut short, and for devices
 * whose invite was older than the change.
 *
 * @returns how many slots were left
 */
export async function leaveSlots(vault: VaultAccess, options: SlotOptions): Promise<number> {
  if (!hasNewestKeys(vault.profile)) return 0;
  let count = 0;
  for (const recipient of findRecipients(vault, options)) {
    await appendEvent(vault, async () => ({
      kind: EventKind.SLOT,
      body: await sealFor(vault, recipient),
    }));
    count++;
  }
  return count;
}

/** Whether somebody who could read was revoked, and the keys are still those that it knows. */
export function isChangeDue({ devices, epochs }: Readonly<JournalFacts>): boolean {
  const { number } = epochs[epochs.length - 1];
  return [...devices.values()].some(({ revoked, role, revokedNumber }) =>
    revoked && role !== Role.WRITER && revokedNumber > number
  );
}

/** Epochs that this device was not given stay missing. */
async function addEpoch({ role, epochs }: Keyring, epoch: number): Promise<Keyring> {
  const writeSecret = crypto.getRandomValues(new Uint8Array(WRITE_SECRET_BYTES));
  const next = { writeSecret, readKey: await generateReadKey() };
  const missing = new Array(epoch - 1 - epochs.length).fill(MISSING_EPOCH);
  return { role, epochs: [...epochs, ...missing, next] };
}

/** Ids of those who lack the newest keys. */
function findRecipients(
  { profile }: VaultAccess,
  { includeRestored }: SlotOptions,
): Uint8Array[] {
  const { devices, recovery, epochs, slots } = profile.journal.facts;
  const newest = epochs.length;
  const lacks = ({ id, isRestored }: { id: Uint8Array; isRestored: boolean }) =>
    slots.get(id.toHex())?.epoch !== newest && (includeRestored || !isRestored);
  // In the first epoch every device has its keys from its own invite.
  const ids = newest === 1
    ? []
    : [...devices.values()].filter((device) => !device.revoked && lacks(device));
  return [...ids, ...(lacks(recovery) ? [recovery] : [])].map(({ id }) => id);
}

async function sealFor({ profile }: VaultAccess, recipient: Uint8Array): Promise<Uint8Array> {
  const { journal, keyring, server: { pin }, vaultId } = profile;
  const epoch = keyring.epochs.length;
  const device = journal.device(recipient);
  const sealed = device === undefined
    ? await sealRecoverySlot({ pin, keyring }, {
      vaultId,
      publicKeys: journal.facts.recovery.keys,
    })
    : await sealSlot({ pin, keyring: narrowKeyring(keyring, device.role) }, {
      vaultId,
      publicKey: device.keys,
    });
  return encodeSlot({ recipient, epoch, sealed });
}
