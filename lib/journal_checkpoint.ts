/**
 * A journal's state as bytes, for whoever replayed it to keep. Not part of the format: a checkpoint
 * that cannot be read is thrown away, and the journal replayed. It is only as trustworthy as the place
 * where it lies; the hash at its end finds accidents.
 */
import { createHash } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, equalBytes } from "./bytes.ts";
import { DamagedError } from "./errors.ts";
import {
  type DeviceFacts,
  type JournalFacts,
  type RecoveryFacts,
  SeenHashes,
} from "./journal_facts.ts";
import {
  decodeDrill,
  DRILL_BYTES,
  encodeDrill,
  LABEL_BYTES,
  type RetentionPolicy,
  SECRET_CHECK_BYTES,
} from "./journal_body.ts";
import { EVENT_HASH_BYTES, type JournalPoint } from "./journal.ts";
import { type SnapshotRow, SnapshotTable } from "./journal_snapshots.ts";
import {
  encodeDeviceKeys,
  encodeReadKey,
  encodeRecoveryKeys,
  isRole,
  readDeviceKeys,
  readReadKey,
  readRecoveryKeys,
  recoveryId,
  SIGNER_ID_BYTES,
} from "./identity.ts";
import { VAULT } from "./limits.ts";
import { RECORD_ID_BYTES } from "./record.ts";

const CHECKPOINT_VERSION = 3;
/** Without drills. */
const FORMER_VERSION = 2;
const REVOKED_FLAG = 1;
const RESTORED_FLAG = 2;
const POLICY_RULES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;

export function encodeCheckpoint(facts: JournalFacts): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [
    new ByteWriter(1 + 32 + 8).u8(CHECKPOINT_VERSION).bytes(facts.vaultId).u64(facts.timeMs).done(),
    encodePoint(facts.newest),
    encodeHashes(facts),
    encodeMany([...facts.devices.values()], encodeDeviceFacts),
    encodeRecoveryFacts(facts.recovery),
    encodeMany(facts.formerRecovery, (former) => {
      return concatBytes(encodeRecoveryFacts(former), encodeTime(former.heldUntilMs));
    }),
    encodeMany(facts.epochs, ({ readKey, secretCheck, number, isRestored }) => {
      const begun = new ByteWriter(8 + 1).u64(number).u8(isRestored ? 1 : 0).done();
      return concatBytes(encodeReadKey(readKey), secretCheck, begun);
    }),
    encodeMany([...facts.slots], ([recipient, { epoch, event }]) => {
      const number = new ByteWriter(4).u32(epoch).done();
      return concatBytes(Uint8Array.fromHex(recipient), number, encodePoint(event));
    }),
    encodeMany(facts.formerSlots, ({ recipient, epoch, event, heldUntilMs }) => {
      const number = new ByteWriter(4).u32(epoch).done();
      const id = Uint8Array.fromHex(recipient);
      return concatBytes(id, number, encodePoint(event), encodeTime(heldUntilMs));
    }),
    encodeMany([...facts.usedInvites], (id) => Uint8Array.fromHex(id)),
    encodePolicyFacts(facts),
    new ByteWriter(4).u32(facts.snapshots.size).done(),
  ];
  for (const snapshot of facts.snapshots) parts.push(encodeSnapshot(snapshot));
  parts.push(encodeMany([...facts.drills], ([device, { timeMs, ...drill }]) => {
    return concatBytes(Uint8Array.fromHex(device), encodeTime(timeMs), encodeDrill(drill));
  }));
  const bytes = concatBytes(...parts);
  return concatBytes(bytes, sha256(bytes));
}

/** @throws {DamagedError} if it is not such a checkpoint, whole */
export function decodeCheckpoint(bytes: Uint8Array): JournalFacts {
  const end = bytes.length - EVENT_HASH_BYTES;
  if (end < 0 || !equalBytes(sha256(bytes.subarray(0, end)), bytes.subarray(end))) {
    throw new DamagedError("Cannot decode checkpoint: its hash is wrong");
  }
  // A copy, because the facts keep views.
  const reader = new ByteReader(bytes.slice(0, end));
  try {
    const facts = readFacts(reader);
    reader.end();
    return facts;
  } catch (cause) {
    throw new DamagedError("Cannot decode checkpoint: bad fields", { cause });
  }
}

function readFacts(reader: ByteReader): JournalFacts {
  const version = reader.u8();
  if (version !== CHECKPOINT_VERSION && version !== FORMER_VERSION) {
    throw new RangeError("unknown version");
  }
  const vaultId = reader.bytes(EVENT_HASH_BYTES);
  const timeMs = reader.u64();
  const newest = readPoint(reader);
  const seenHashes = readHashes(reader, newest);
  const devices = readMany(reader, readDeviceFacts);
  return {
    ...{ vaultId, newest, timeMs, seenHashes },
    devices: new Map(devices.map((device) => [device.id.toHex(), device])),
    recovery: readRecoveryFacts(reader),
    formerRecovery: readMany(reader, () => {
      return { ...readRecoveryFacts(reader), heldUntilMs: reader.u64() };
    }),
    epochs: readMany(reader, (_, index) => ({
      epoch: index + 1,
      readKey: readReadKey(reader),
      secretCheck: reader.bytes(SECRET_CHECK_BYTES),
      number: reader.u64(),
      isRestored: reader.u8() === 1,
    })),
    slots: new Map(readMany(reader, () => {
      const recipient = reader.bytes(SIGNER_ID_BYTES).toHex();
      return [recipient, { epoch: reader.u32(), event: readPoint(reader) }];
    })),
    formerSlots: readMany(reader, () => ({
      recipient: reader.bytes(SIGNER_ID_BYTES).toHex(),
      epoch: reader.u32(),
      event: readPoint(reader),
      heldUntilMs: reader.u64(),
    })),
    usedInvites: new Set(readMany(reader, () => reader.bytes(SIGNER_ID_BYTES).toHex())),
    ...readPolicyFacts(reader),
    snapshots: readSnapshots(reader),
    drills: new Map(
      version === FORMER_VERSION ? [] : readMany(reader, () => {
        const device = reader.bytes(SIGNER_ID_BYTES).toHex();
        const timeMs = reader.u64();
        return [device, { ...decodeDrill(reader.bytes(DRILL_BYTES)), timeMs }];
      }),
    ),
  };
}

function encodeRecoveryFacts({ keys, lastNumber, isRestored }: RecoveryFacts): Uint8Array {
  const fields = new ByteWriter(8 + 1).u64(lastNumber).u8(isRestored ? 1 : 0).done();
  return concatBytes(encodeRecoveryKeys(keys), fields);
}

function readRecoveryFacts(reader: ByteReader): RecoveryFacts {
  const keys = readRecoveryKeys(reader);
  return { id: recoveryId(keys), keys, lastNumber: reader.u64(), isRestored: reader.u8() === 1 };
}

function encodeTime(timeMs: number): Uint8Array {
  return new ByteWriter(8).u64(timeMs).done();
}

function encodePoint(point: JournalPoint): Uint8Array {
  return new ByteWriter(8 + EVENT_HASH_BYTES).u64(point.number).bytes(point.hash).done();
}

function readPoint(reader: ByteReader): JournalPoint {
  return { number: reader.u64(), hash: reader.bytes(EVENT_HASH_BYTES) };
}

/** Hashes of the newest events, oldest first; their number follows from that of the newest. */
function encodeHashes({ newest, seenHashes }: JournalFacts): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let n = firstSeen(newest); n <= newest.number; n++) parts.push(seenHashes.get(n));
  return concatBytes(...parts);
}

function readHashes(reader: ByteReader, newest: JournalPoint): SeenHashes {
  const hashes = new SeenHashes();
  for (let number = firstSeen(newest); number <= newest.number; number++) {
    hashes.set({ number, hash: reader.bytes(EVENT_HASH_BYTES) });
  }
  return hashes;
}

function firstSeen(newest: JournalPoint): number {
  return Math.max(1, newest.number - VAULT.seenEventsMax + 1);
}

function encodeDeviceFacts(device: DeviceFacts): Uint8Array {
  const { sealedName } = device;
  const flags = (device.revoked ? REVOKED_FLAG : 0) | (device.isRestored ? RESTORED_FLAG : 0);
  const fields = new ByteWriter(1 + 1 + 5 * 8 + 2 + sealedName.length)
    .u8(device.role).u8(flags).u64(device.addedMs).u64(device.lastNumber)
    .u64(device.committedMs).u64(device.revokedNumber).u64(device.heldUntilMs)
    .u16(sealedName.length).bytes(sealedName).done();
  return concatBytes(device.id, encodeDeviceKeys(device.keys), fields);
}

function readDeviceFacts(reader: ByteReader, index: number): DeviceFacts {
  const id = reader.bytes(SIGNER_ID_BYTES);
  const keys = readDeviceKeys(reader);
  const role = reader.u8();
  if (!isRole(role)) throw new RangeError("unknown role");
  const flags = reader.u8();
  const [revoked, isRestored] = [(flags & REVOKED_FLAG) !== 0, (flags & RESTORED_FLAG) !== 0];
  const [addedMs, lastNumber, committedMs] = [reader.u64(), reader.u64(), reader.u64()];
  const [revokedNumber, heldUntilMs] = [reader.u64(), reader.u64()];
  const sealedName = reader.bytes(reader.u16());
  return {
    ...{ id, index, role, keys, sealedName, addedMs, lastNumber, committedMs },
    ...{ revoked, revokedNumber, heldUntilMs, isRestored },
  };
}

function encodePolicyFacts(facts: JournalFacts): Uint8Array {
  const writer = new ByteWriter(3 * 8 + POLICY_RULES.length * 2);
  writer.u64(facts.policySinceMs).u64(facts.holdBeforeMs).u64(facts.policy.holdMs);
  for (const rule of POLICY_RULES) writer.u16(facts.policy[rule]);
  return writer.done();
}

function readPolicyFacts(
  reader: ByteReader,
): Pick<JournalFacts, "policySinceMs" | "holdBeforeMs" | "policy"> {
  const [policySinceMs, holdBeforeMs, holdMs] = [reader.u64(), reader.u64(), reader.u64()];
  const rules = POLICY_RULES.map((rule) => [rule, reader.u16()]);
  const policy = { holdMs, ...Object.fromEntries(rules) } as RetentionPolicy;
  return { policySinceMs, holdBeforeMs, policy };
}

function encodeSnapshot(snapshot: SnapshotRow): Uint8Array {
  const { root, setLabel, tagLabels, timeMs, number, device, holdUntilMs } = snapshot;
  const writer = new ByteWriter(32 + LABEL_BYTES * (1 + tagLabels.length) + 3 * 8 + 2 + 1);
  writer.bytes(root).bytes(setLabel).u64(timeMs).u64(number).u64(holdUntilMs).u16(device);
  writer.u8(tagLabels.length);
  for (const label of tagLabels) writer.bytes(label);
  return writer.done();
}

function readSnapshots(reader: ByteReader): SnapshotTable {
  const table = new SnapshotTable();
  for (let left = reader.u32(); left > 0; left--) {
    const [root, setLabel] = [reader.bytes(RECORD_ID_BYTES), reader.bytes(LABEL_BYTES)];
    const [timeMs, number, holdUntilMs] = [reader.u64(), reader.u64(), reader.u64()];
    const device = reader.u16();
    const tagLabels: Uint8Array[] = [];
    for (let tags = reader.u8(); tags > 0; tags--) tagLabels.push(reader.bytes(LABEL_BYTES));
    table.add({ root, setLabel, tagLabels, timeMs, number, device, holdUntilMs });
  }
  return table;
}

function encodeMany<T>(items: T[], encode: (item: T) => Uint8Array): Uint8Array {
  return concatBytes(new ByteWriter(4).u32(items.length).done(), ...items.map(encode));
}

function readMany<T>(reader: ByteReader, read: (reader: ByteReader, index: number) => T): T[] {
  const items: T[] = [];
  const count = reader.u32();
  for (let i = 0; i < count; i++) items.push(read(reader, i));
  return items;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
