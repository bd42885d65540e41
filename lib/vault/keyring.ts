/**
 * Keyrings and slots (docs/format.md, "Keyring"): the secrets of all epochs that a role may have, and
 * how they come to a device. What comes out of a slot is checked against the journal.
 */
import { ByteReader, ByteWriter, concatBytes, equalBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import type { JournalFacts } from "../journal_facts.ts";
import { isRole, type ReadKey, type RecoveryKeys, Role } from "../identity.ts";
import { VAULT } from "../limits.ts";
import { PIN_BYTES } from "../login.ts";
import { importReadKey } from "./private_key.ts";
import { type RecoveryPrivateKey, unwrapByRecovery, wrapToRecovery } from "./recovery.ts";
import { deriveWriteKeys, WRITE_SECRET_BYTES } from "./secrets.ts";
import { unwrap, type UnwrapKey, wrap, type WrapContext } from "./wrap.ts";

const KEYRING_VERSION = 1;
const READ_KEY_BYTES_MAX = 4096;

/** Secrets of one epoch. */
export interface EpochSecrets {
  /** 32 bytes. */
  writeSecret: Uint8Array;
  /** The read key's private half, encoded; not there for writers. */
  readKey?: Uint8Array;
}

/** In place of the secrets of an epoch that this keyring does not have. */
export const MISSING_EPOCH: EpochSecrets = { writeSecret: new Uint8Array(WRITE_SECRET_BYTES) };

/** Secrets of all epochs, first to newest; the first and the newest are never missing. */
export interface Keyring {
  role: Role;
  epochs: EpochSecrets[];
}

/** What a slot holds. */
export interface SlotContent {
  /** Pin of the server, to compare with. 32 bytes. */
  pin: Uint8Array;
  keyring: Keyring;
}

/** Whether the keyring lacks this epoch: its owner was shut out while the epoch was in use. */
export function isMissingEpoch({ writeSecret }: EpochSecrets): boolean {
  return writeSecret.every((byte) => byte === 0);
}

export function encodeKeyring({ role, epochs }: Keyring): Uint8Array<ArrayBuffer> {
  const count = new ByteWriter(1 + 1 + 2).u8(KEYRING_VERSION).u8(role).u16(epochs.length).done();
  return concatBytes(
    count,
    ...epochs.map((secrets) => {
      const { writeSecret, readKey = new Uint8Array(0) } = secrets;
      if ((readKey.length > 0) !== (role > Role.WRITER && !isMissingEpoch(secrets))) {
        throw new RangeError("Read key and role differ");
      }
      return new ByteWriter(WRITE_SECRET_BYTES + 2 + readKey.length)
        .bytes(writeSecret).u16(readKey.length).bytes(readKey).done();
    }),
  );
}

/** @throws {DamagedError} if the bytes are not a keyring */
export function decodeKeyring(bytes: Uint8Array): Keyring {
  const reader = new ByteReader(bytes);
  try {
    if (reader.u8() !== KEYRING_VERSION) throw damaged("unknown version");
    const role = reader.u8();
    if (!isRole(role)) throw damaged("unknown role");
    const count = reader.u16();
    if (count < 1 || count > VAULT.epochsMax) throw damaged(`${count} epochs`);
    const epochs: EpochSecrets[] = [];
    for (let i = 0; i < count; i++) epochs.push(readSecrets(reader, role));
    reader.end();
    if (isMissingEpoch(epochs[0]) || isMissingEpoch(epochs[count - 1])) {
      throw damaged("its first or newest epoch is missing");
    }
    return { role, epochs };
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("cut short");
    throw cause;
  }
}

/** The keyring that somebody of a lesser role gets: without read keys for writers. */
export function narrowKeyring(keyring: Keyring, role: Role): Keyring {
  if (role > keyring.role) throw new RangeError("A role cannot be given by a lesser one");
  if (role > Role.WRITER) return { role, epochs: keyring.epochs };
  return { role, epochs: keyring.epochs.map(({ writeSecret }) => ({ writeSecret })) };
}

/**
 * Checks a keyring against the journal: so a false one is found before anything is written with it.
 * It may end before the newest epoch.
 *
 * @throws {DamagedError} if a secret is not that of its epoch
 */
export async function checkKeyring(keyring: Keyring, facts: JournalFacts): Promise<void> {
  for (const [index, secrets] of keyring.epochs.entries()) {
    const { writeSecret, readKey } = secrets;
    const epoch = facts.epochs[index];
    if (epoch === undefined) throw falseKey(`epoch ${index + 1} is not in the journal`);
    if (isMissingEpoch(secrets)) continue;
    if (!equalBytes(deriveWriteKeys(writeSecret).secretCheck, epoch.secretCheck)) {
      throw falseKey(`another write secret in epoch ${index + 1}`);
    }
    if (readKey === undefined) continue;
    const { publicKey } = await importReadKey(readKey);
    const isRight = equalBytes(publicKey.rsa, epoch.readKey.rsa) &&
      equalBytes(publicKey.kem, epoch.readKey.kem);
    if (!isRight) throw falseKey(`another read key in epoch ${index + 1}`);
  }
}

/** A slot for a device: the `sealed` of a slot event whose epoch is the keyring's newest. */
export function sealSlot(
  content: SlotContent,
  { vaultId, publicKey }: { vaultId: Uint8Array; publicKey: ReadKey },
): Promise<Uint8Array<ArrayBuffer>> {
  return wrap(publicKey, {
    plaintext: encodeSlotContent(content),
    context: slotContext(vaultId, content),
  });
}

/** A slot for the recovery code. */
export function sealRecoverySlot(
  content: SlotContent,
  { vaultId, publicKeys }: { vaultId: Uint8Array; publicKeys: RecoveryKeys },
): Promise<Uint8Array<ArrayBuffer>> {
  const plaintext = encodeSlotContent(content);
  return wrapToRecovery(publicKeys, { plaintext, context: slotContext(vaultId, content) });
}

/** @param slot `sealed` and `epoch` of a slot event */
export async function openSlot(
  key: UnwrapKey,
  { vaultId, epoch, sealed }: { vaultId: Uint8Array; epoch: number; sealed: Uint8Array },
): Promise<SlotContent> {
  const context = { purpose: "slot" as const, vaultId, epoch };
  return decodeSlotContent(await unwrap(key, { wrapped: sealed, context }), epoch);
}

export async function openRecoverySlot(
  key: RecoveryPrivateKey,
  { vaultId, epoch, sealed }: { vaultId: Uint8Array; epoch: number; sealed: Uint8Array },
): Promise<SlotContent> {
  const context = { purpose: "slot" as const, vaultId, epoch };
  return decodeSlotContent(await unwrapByRecovery(key, { wrapped: sealed, context }), epoch);
}

function slotContext(vaultId: Uint8Array, { keyring }: SlotContent): WrapContext {
  return { purpose: "slot", vaultId, epoch: keyring.epochs.length };
}

function encodeSlotContent({ pin, keyring }: SlotContent): Uint8Array {
  if (pin.length !== PIN_BYTES) throw new RangeError("Pin of a wrong size");
  return concatBytes(pin, encodeKeyring(keyring));
}

function decodeSlotContent(bytes: Uint8Array, epoch: number): SlotContent {
  if (bytes.length < PIN_BYTES) throw damaged("cut short");
  const keyring = decodeKeyring(bytes.subarray(PIN_BYTES));
  if (keyring.epochs.length !== epoch) throw damaged("its epochs are not those of the slot");
  return { pin: bytes.subarray(0, PIN_BYTES), keyring };
}

function readSecrets(reader: ByteReader, role: Role): EpochSecrets {
  const writeSecret = reader.bytes(WRITE_SECRET_BYTES);
  const size = reader.u16();
  const isWhole = !isMissingEpoch({ writeSecret });
  if ((size > 0) !== (role > Role.WRITER && isWhole)) throw damaged("read key and role differ");
  if (size > READ_KEY_BYTES_MAX) throw damaged(`read key of ${size} bytes`);
  return size === 0 ? { writeSecret } : { writeSecret, readKey: reader.bytes(size) };
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot decode keyring: ${state}`);
}

function falseKey(state: string): DamagedError {
  return new DamagedError(`Cannot trust keyring: ${state}`);
}
