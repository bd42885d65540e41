/**
 * Bodies of journal events, one codec for each kind (docs/format.md, "Bodies of events"). Decoders
 * take exactly the bytes of a body and throw {@link TruncatedError} or {@link RangeError}, which
 * `journal_state.ts` turns into a named fault.
 */
import { ByteReader, ByteWriter, concatBytes } from "./bytes.ts";
import {
  type DeviceKeys,
  ED25519_PUBLIC_BYTES,
  encodeDeviceKeys,
  encodeReadKey,
  encodeRecoveryKeys,
  isRole,
  readDeviceKeys,
  type ReadKey,
  readReadKey,
  readRecoveryKeys,
  type RecoveryKeys,
  type Role,
  SIGNER_ID_BYTES,
} from "./identity.ts";
import { SIGNATURE_BYTES } from "./journal.ts";
import { VAULT } from "./limits.ts";
import { RECORD_ID_BYTES } from "./record.ts";

/** Size of the label of a set of paths or of a tag: a keyed hash that the server cannot undo. */
export const LABEL_BYTES = 16;
/** Size of the keyed hash by which a write secret is recognised. */
export const SECRET_CHECK_BYTES = 16;

/** Root 32, files 4, bytes 8, compared 4, differing 4, damaged 4. */
export const DRILL_BYTES = RECORD_ID_BYTES + 4 + 8 + 3 * 4;

/** Starts a vault: its first owner, its recovery code, the read key of epoch 1. */
export interface FoundBody {
  owner: DeviceKeys;
  recovery: RecoveryKeys;
  readKey: ReadKey;
  /** 16 bytes; tells that a write secret is the right one, and nothing else about it. */
  secretCheck: Uint8Array;
  /** The owner device's name, sealed; at most 320 bytes. */
  sealedName: Uint8Array;
  /** The recovery code's signature (`journal_code.ts`). 64 bytes. */
  codeProof: Uint8Array;
}

/** Puts another recovery code in the place of the one in use. */
export interface RecoveryBody {
  keys: RecoveryKeys;
  /** The new code's signature (`journal_code.ts`). 64 bytes. */
  codeProof: Uint8Array;
}

/** An owner's permission for one device, carried by an invite. */
export interface InviteGrant {
  /** The owner that made the invite. 16 bytes. */
  owner: Uint8Array;
  expiresMs: number;
  /** Ed25519; the device event is signed with its private half. 32 bytes. */
  publicKey: Uint8Array;
  /** The owner's signature over the grant and the role. 64 bytes. */
  signature: Uint8Array;
}

/** Adds a device. */
export interface DeviceBody {
  role: Role;
  keys: DeviceKeys;
  sealedName: Uint8Array;
  /** There when the device came by an invite; otherwise an owner or the recovery code signs. */
  grant?: InviteGrant;
}

/** Starts an epoch: what is written from now on cannot be read with the keys from before. */
export interface KeysBody {
  epoch: number;
  readKey: ReadKey;
  secretCheck: Uint8Array;
}

/** A keyring, wrapped to a device or to the recovery code. */
export interface SlotBody {
  /** Id of the device or of the recovery code. 16 bytes. */
  recipient: Uint8Array;
  /** The newest epoch in the keyring. */
  epoch: number;
  sealed: Uint8Array;
}

/** Makes a root a snapshot. */
export interface CommitBody {
  root: Uint8Array;
  /** Label of the set of paths. 16 bytes. */
  setLabel: Uint8Array;
  /** Labels of the tags, 16 bytes each. */
  tagLabels: Uint8Array[];
}

/** How long things are kept. A count of 0 is no rule; without any rule everything is kept. */
export interface RetentionPolicy {
  holdMs: number;
  last: number;
  hourly: number;
  daily: number;
  weekly: number;
  monthly: number;
  yearly: number;
}

/** What the server's operator can bring back within the hold. */
export const Restored = { DEVICE: 1, RECOVERY: 2, SLOT: 3 } as const;
export type Restored = typeof Restored[keyof typeof Restored];

/** Brings back what an owner has taken away. */
export interface RestoreBody {
  what: Restored;
  /** Id of the device or the recovery code; of a slot, that of its recipient. 16 bytes. */
  id: Uint8Array;
  /** Of a slot, the number of its event; otherwise 0. */
  number: number;
}

/** What came of a drill: some files of a snapshot, drawn by chance, were restored and looked at. */
export interface DrillBody {
  /** Of the snapshot. 32 bytes. */
  root: Uint8Array;
  /** Files that were drawn: those that were restored, and those that are damaged. At least 1. */
  files: number;
  /** Size of those that were restored. */
  bytes: number;
  /** Of those that were restored, the ones that were as the snapshot says on the device's disk, by size and times. */
  compared: number;
  /** Of the compared, those whose contents on the disk are others. */
  differing: number;
  /** Files that could not be restored, because something of them is missing or not what it was. */
  damaged: number;
}

/** All but the code's proof, which is made over it and follows it. */
export function encodeFoundFields(
  body: Omit<FoundBody, "codeProof">,
): Uint8Array<ArrayBuffer> {
  return concatBytes(
    encodeDeviceKeys(body.owner),
    encodeRecoveryKeys(body.recovery),
    encodeReadKey(body.readKey),
    sized(body.secretCheck, SECRET_CHECK_BYTES),
    encodeName(body.sealedName),
  );
}

export function decodeFound(bytes: Uint8Array): FoundBody {
  return decodeAll(bytes, (reader) => ({
    owner: readDeviceKeys(reader),
    recovery: readRecoveryKeys(reader),
    readKey: readReadKey(reader),
    secretCheck: reader.bytes(SECRET_CHECK_BYTES),
    sealedName: readName(reader),
    codeProof: reader.bytes(SIGNATURE_BYTES),
  }));
}

export function encodeDevice(body: DeviceBody): Uint8Array<ArrayBuffer> {
  const { grant } = body;
  return concatBytes(
    Uint8Array.of(body.role),
    encodeDeviceKeys(body.keys),
    encodeName(body.sealedName),
    Uint8Array.of(grant === undefined ? 0 : 1),
    grant === undefined ? new Uint8Array(0) : encodeGrant(grant),
  );
}

export function decodeDevice(bytes: Uint8Array): DeviceBody {
  return decodeAll(bytes, (reader) => {
    const role = reader.u8();
    if (!isRole(role)) throw new RangeError(`unknown role ${role}`);
    const body = { role, keys: readDeviceKeys(reader), sealedName: readName(reader) };
    const invited = reader.u8();
    if (invited > 1) throw new RangeError(`unknown grant ${invited}`);
    return invited === 1 ? { ...body, grant: readGrant(reader) } : body;
  });
}

export function encodeRevoke(device: Uint8Array): Uint8Array<ArrayBuffer> {
  return sized(new Uint8Array(device), SIGNER_ID_BYTES);
}

/** The device that is revoked. */
export function decodeRevoke(bytes: Uint8Array): Uint8Array {
  return decodeAll(bytes, (reader) => reader.bytes(SIGNER_ID_BYTES));
}

export function encodeKeys(body: KeysBody): Uint8Array<ArrayBuffer> {
  const epoch = new ByteWriter(4).u32(body.epoch).done();
  const secretCheck = sized(body.secretCheck, SECRET_CHECK_BYTES);
  return concatBytes(epoch, encodeReadKey(body.readKey), secretCheck);
}

export function decodeKeys(bytes: Uint8Array): KeysBody {
  return decodeAll(bytes, (reader) => ({
    epoch: reader.u32(),
    readKey: readReadKey(reader),
    secretCheck: reader.bytes(SECRET_CHECK_BYTES),
  }));
}

export function encodeSlot(body: SlotBody): Uint8Array<ArrayBuffer> {
  return new ByteWriter(SIGNER_ID_BYTES + 4 + body.sealed.length)
    .bytes(sized(body.recipient, SIGNER_ID_BYTES)).u32(body.epoch).bytes(body.sealed).done();
}

export function decodeSlot(bytes: Uint8Array): SlotBody {
  return decodeAll(bytes, (reader) => ({
    recipient: reader.bytes(SIGNER_ID_BYTES),
    epoch: reader.u32(),
    sealed: reader.rest(),
  }));
}

export function encodeCommit(body: CommitBody): Uint8Array<ArrayBuffer> {
  const tags = body.tagLabels.map((label) => sized(label, LABEL_BYTES));
  if (tags.length > VAULT.tagsMax) throw new RangeError(`${tags.length} tags`);
  return concatBytes(
    sized(body.root, RECORD_ID_BYTES),
    sized(body.setLabel, LABEL_BYTES),
    Uint8Array.of(tags.length),
    ...tags,
  );
}

export function decodeCommit(bytes: Uint8Array): CommitBody {
  return decodeAll(bytes, (reader) => {
    const root = reader.bytes(RECORD_ID_BYTES);
    const setLabel = reader.bytes(LABEL_BYTES);
    const count = reader.u8();
    if (count > VAULT.tagsMax) throw new RangeError(`${count} tags`);
    const tagLabels: Uint8Array[] = [];
    for (let i = 0; i < count; i++) tagLabels.push(reader.bytes(LABEL_BYTES));
    return { root, setLabel, tagLabels };
  });
}

/** Body of forget, unforget and drop: 1 to 1024 ids of roots. */
export function encodeRoots(roots: Uint8Array[]): Uint8Array<ArrayBuffer> {
  checkRootCount(roots.length);
  const count = new ByteWriter(2).u16(roots.length).done();
  return concatBytes(count, ...roots.map((root) => sized(root, RECORD_ID_BYTES)));
}

export function decodeRoots(bytes: Uint8Array): Uint8Array[] {
  return decodeAll(bytes, (reader) => {
    const count = reader.u16();
    checkRootCount(count);
    const roots: Uint8Array[] = [];
    for (let i = 0; i < count; i++) roots.push(reader.bytes(RECORD_ID_BYTES));
    return roots;
  });
}

/** All but the code's proof, which is made over it and follows it. */
export function encodeRecoveryFields({ keys }: Omit<RecoveryBody, "codeProof">): Uint8Array<
  ArrayBuffer
> {
  return encodeRecoveryKeys(keys);
}

export function decodeRecovery(bytes: Uint8Array): RecoveryBody {
  return decodeAll(bytes, (reader) => ({
    keys: readRecoveryKeys(reader),
    codeProof: reader.bytes(SIGNATURE_BYTES),
  }));
}

export function encodeRestore({ what, id, number }: RestoreBody): Uint8Array<ArrayBuffer> {
  return new ByteWriter(1 + SIGNER_ID_BYTES + 8)
    .u8(what).bytes(sized(id, SIGNER_ID_BYTES)).u64(number).done();
}

export function decodeRestore(bytes: Uint8Array): RestoreBody {
  return decodeAll(bytes, (reader) => {
    const what = reader.u8();
    if (what < Restored.DEVICE || what > Restored.SLOT) throw new RangeError(`unknown ${what}`);
    const [id, number] = [reader.bytes(SIGNER_ID_BYTES), reader.u64()];
    if ((number === 0) !== (what !== Restored.SLOT)) throw new RangeError("number and kind differ");
    return { what: what as Restored, id, number };
  });
}

export function encodePolicy(policy: RetentionPolicy): Uint8Array<ArrayBuffer> {
  checkHold(policy.holdMs);
  return new ByteWriter(8 + 6 * 2).u64(policy.holdMs).u16(policy.last).u16(policy.hourly)
    .u16(policy.daily).u16(policy.weekly).u16(policy.monthly).u16(policy.yearly).done();
}

export function decodePolicy(bytes: Uint8Array): RetentionPolicy {
  return decodeAll(bytes, (reader) => {
    const holdMs = reader.u64();
    checkHold(holdMs);
    const [last, hourly, daily] = [reader.u16(), reader.u16(), reader.u16()];
    const [weekly, monthly, yearly] = [reader.u16(), reader.u16(), reader.u16()];
    return { holdMs, last, hourly, daily, weekly, monthly, yearly };
  });
}

export function encodeDrill(drill: DrillBody): Uint8Array<ArrayBuffer> {
  checkDrill(drill);
  return new ByteWriter(DRILL_BYTES).bytes(sized(drill.root, RECORD_ID_BYTES))
    .u32(drill.files).u64(drill.bytes).u32(drill.compared).u32(drill.differing)
    .u32(drill.damaged).done();
}

export function decodeDrill(bytes: Uint8Array): DrillBody {
  return decodeAll(bytes, (reader) => {
    const [root, files, total] = [reader.bytes(RECORD_ID_BYTES), reader.u32(), reader.u64()];
    const [compared, differing, damaged] = [reader.u32(), reader.u32(), reader.u32()];
    const drill = { root, files, bytes: total, compared, differing, damaged };
    checkDrill(drill);
    return drill;
  });
}

function encodeGrant(grant: InviteGrant): Uint8Array {
  return new ByteWriter(SIGNER_ID_BYTES + 8 + ED25519_PUBLIC_BYTES + SIGNATURE_BYTES)
    .bytes(sized(grant.owner, SIGNER_ID_BYTES)).u64(grant.expiresMs)
    .bytes(sized(grant.publicKey, ED25519_PUBLIC_BYTES))
    .bytes(sized(grant.signature, SIGNATURE_BYTES)).done();
}

function readGrant(reader: ByteReader): InviteGrant {
  return {
    owner: reader.bytes(SIGNER_ID_BYTES),
    expiresMs: reader.u64(),
    publicKey: reader.bytes(ED25519_PUBLIC_BYTES),
    signature: reader.bytes(SIGNATURE_BYTES),
  };
}

function encodeName(sealedName: Uint8Array): Uint8Array {
  checkNameSize(sealedName.length);
  return new ByteWriter(2 + sealedName.length).u16(sealedName.length).bytes(sealedName).done();
}

function readName(reader: ByteReader): Uint8Array {
  const size = reader.u16();
  checkNameSize(size);
  return reader.bytes(size);
}

function checkNameSize(size: number): void {
  if (size > VAULT.sealedNameBytesMax) throw new RangeError(`name of ${size} bytes`);
}

function checkRootCount(count: number): void {
  if (count < 1 || count > VAULT.rootsPerEventMax) throw new RangeError(`${count} roots`);
}

/** Each count is of what the one before it counts. */
function checkDrill({ files, compared, differing, damaged }: DrillBody): void {
  if (files < 1 || compared + damaged > files || differing > compared) {
    throw new RangeError("counts of a drill that cannot be");
  }
}

function checkHold(holdMs: number): void {
  if (holdMs < VAULT.holdMsMin || holdMs > VAULT.holdMsMax) {
    throw new RangeError(`hold of ${holdMs} ms`);
  }
}

function decodeAll<T>(bytes: Uint8Array, decode: (reader: ByteReader) => T): T {
  const reader = new ByteReader(bytes);
  const body = decode(reader);
  reader.end();
  return body;
}

function sized<T extends Uint8Array>(bytes: T, size: number): T {
  if (bytes.length !== size) throw new RangeError(`Field of ${bytes.length} bytes, not ${size}`);
  return bytes;
}
