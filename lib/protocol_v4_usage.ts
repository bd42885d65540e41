/**
 * Answer USAGE of protocol version 4 (docs/protocol_v4.md, "Usage"): what the server says of a vault's space and health.
 * By its word alone: nothing in it is signed. What the journal tells as well, such as the number of snapshots, is not in it.
 */
import { type ByteReader, ByteWriter } from "./bytes.ts";
import { atMost, decodeAll } from "./protocol_v4.ts";

/** What a vault may use at most. A bound that is not there is none. */
export interface QuotaBounds {
  /** Size of the vault's packs. */
  bytes?: number;
  /** In force and in hold. */
  snapshots?: number;
  /** Not revoked. */
  devices?: number;
  /** What one device may store, bytes per second. */
  rate?: number;
}

/** Answer USAGE. */
export interface Usage {
  /** Size of the vault's packs. */
  storedBytes: number;
  records: number;
  /** Of these, needed by no snapshot, and to be deleted. */
  condemned: number;
  /** Of these, known not to be what they were. */
  damaged: number;
  /** Last collection, milliseconds since 1970; 0: none yet. */
  collectedMs: number;
  packs: number;
  /** Packs that were not read back since they were stored. */
  unread: number;
  /** Of the others, when the one was read back that was not for the longest time, ms since 1970; 0: there is none. */
  oldestReadMs: number;
  quota: QuotaBounds;
}

const QUOTA_BOUNDS = ["bytes", "snapshots", "devices", "rate"] as const;
const QUOTA_FLAGS_MAX = (1 << QUOTA_BOUNDS.length) - 1;
/** Eight numbers, which bounds there are, four bounds. */
const USAGE_BYTES = 8 * 8 + 1 + QUOTA_BOUNDS.length * 8;

export function encodeUsage({ quota, ...usage }: Usage): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(USAGE_BYTES).u64(usage.storedBytes).u64(usage.records)
    .u64(usage.condemned).u64(usage.damaged).u64(usage.collectedMs).u64(usage.packs)
    .u64(usage.unread).u64(usage.oldestReadMs);
  const flags = QUOTA_BOUNDS.map((bound, i) => quota[bound] === undefined ? 0 : 1 << i);
  writer.u8(flags.reduce((sum, flag) => sum | flag, 0));
  for (const bound of QUOTA_BOUNDS) writer.u64(quota[bound] ?? 0);
  return writer.done();
}

export function decodeUsage(bytes: Uint8Array): Usage {
  return decodeAll(bytes, (reader) => {
    const [storedBytes, records, condemned] = [reader.u64(), reader.u64(), reader.u64()];
    const [damaged, collectedMs, packs] = [reader.u64(), reader.u64(), reader.u64()];
    const [unread, oldestReadMs] = [reader.u64(), reader.u64()];
    const quota = readQuotaBounds(reader);
    return {
      ...{ storedBytes, records, condemned, damaged, collectedMs },
      ...{ packs, unread, oldestReadMs, quota },
    };
  });
}

function readQuotaBounds(reader: ByteReader): QuotaBounds {
  const flags = atMost(reader.u8(), QUOTA_FLAGS_MAX);
  const quota: QuotaBounds = {};
  for (const [i, bound] of QUOTA_BOUNDS.entries()) {
    const value = reader.u64();
    if ((flags >> i & 1) === 1) quota[bound] = value;
    else if (value !== 0) throw new RangeError(`a bound for ${bound}, and no flag`);
  }
  return quota;
}
