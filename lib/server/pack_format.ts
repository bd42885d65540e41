/**
 * The bytes of a pack file (docs/store.md, "Packs"). Pure. A pack proves its trailer by a hash and each record by the
 * record's own id.
 */
import { createHash } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, equalBytes, TruncatedError } from "../bytes.ts";
import type { PackEntry } from "../db_records.ts";
import { DamagedError } from "../errors.ts";
import { STORE, VAULT } from "../limits.ts";
import { RECORD_ID_BYTES, RecordType } from "../record.ts";

const MAGIC = new TextEncoder().encode("hfpack4\n");
const END_MAGIC = new TextEncoder().encode("hfpkend\n");
const PACK_VERSION = 1;
const VAULT_ID_BYTES = 32;
const HASH_BYTES = 32;

export const PACK_HEADER_BYTES = MAGIC.length + 1 + VAULT_ID_BYTES;
/** What stands before each record: id 32, size 4. */
export const PACK_PREFIX_BYTES = RECORD_ID_BYTES + 4;
const ENTRY_BYTES = RECORD_ID_BYTES + 1 + 4 + 4;
export const PACK_FOOTER_BYTES = 4 + HASH_BYTES + END_MAGIC.length;

export function encodePackHeader(vaultId: Uint8Array): Uint8Array<ArrayBuffer> {
  return new ByteWriter(PACK_HEADER_BYTES).bytes(MAGIC).u8(PACK_VERSION).bytes(vaultId).done();
}

/** @throws {DamagedError} if it is not the header of a pack of this vault */
export function checkPackHeader(bytes: Uint8Array, vaultId: Uint8Array): void {
  if (!equalBytes(bytes, encodePackHeader(vaultId))) {
    throw new DamagedError("Cannot read pack: its header is not one of this vault");
  }
}

export function encodePackPrefix(
  { id, size }: { id: Uint8Array; size: number },
): Uint8Array<ArrayBuffer> {
  return new ByteWriter(PACK_PREFIX_BYTES).bytes(id).u32(size).done();
}

export function decodePackPrefix(bytes: Uint8Array): { id: Uint8Array; size: number } {
  const reader = new ByteReader(bytes);
  const prefix = { id: reader.bytes(RECORD_ID_BYTES), size: reader.u32() };
  reader.end();
  return prefix;
}

/** Size of a trailer with that many entries, in bytes. */
export function packTrailerSize(entryCount: number): number {
  return entryCount * ENTRY_BYTES + PACK_FOOTER_BYTES;
}

export function encodePackTrailer(
  vaultId: Uint8Array,
  entries: PackEntry[],
): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(entries.length * ENTRY_BYTES + 4);
  for (const { id, type, offset, size } of entries) {
    writer.bytes(id).u8(type).u32(offset).u32(size);
  }
  const covered = writer.u32(entries.length).done();
  return concatBytes(covered, hashTrailer(vaultId, covered), END_MAGIC);
}

/**
 * Number of entries, from a footer.
 *
 * @throws {DamagedError} if it is not one
 */
export function decodePackFooter(footer: Uint8Array): number {
  try {
    const reader = new ByteReader(footer);
    const count = reader.u32();
    reader.bytes(HASH_BYTES);
    if (!equalBytes(reader.rest(), END_MAGIC)) throw damaged("it has no end");
    if (count > STORE.packRecordsMax) throw damaged(`it says it has ${count} records`);
    return count;
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("it is cut short", cause);
    throw cause;
  }
}

/**
 * The entries of a pack. Fields are views of the trailer.
 *
 * @param packBytes size of the whole file
 * @throws {DamagedError} if anything in it is not what the server wrote
 */
export function decodePackTrailer(
  trailer: Uint8Array,
  { vaultId, packBytes }: { vaultId: Uint8Array; packBytes: number },
): PackEntry[] {
  const count = decodePackFooter(trailer.subarray(-PACK_FOOTER_BYTES));
  if (trailer.length !== packTrailerSize(count)) throw damaged("its trailer has another size");
  const covered = trailer.subarray(0, count * ENTRY_BYTES + 4);
  const reader = new ByteReader(trailer.subarray(covered.length));
  if (!equalBytes(reader.bytes(HASH_BYTES), hashTrailer(vaultId, covered))) {
    throw damaged("the hash of its trailer is wrong");
  }
  return readEntries(new ByteReader(covered), { count, end: packBytes - trailer.length });
}

function readEntries(
  reader: ByteReader,
  { count, end }: { count: number; end: number },
): PackEntry[] {
  const entries: PackEntry[] = [];
  let next = PACK_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const [id, type] = [reader.bytes(RECORD_ID_BYTES), reader.u8()];
    const [offset, size] = [reader.u32(), reader.u32()];
    const isPlausible = offset === next + PACK_PREFIX_BYTES && size <= VAULT.recordBytesMax &&
      type >= RecordType.DATA && type <= RecordType.ROOT;
    if (!isPlausible) throw damaged(`entry ${i} is not possible`);
    entries.push({ id, type: type as RecordType, offset, size });
    next = offset + size;
  }
  if (next !== end) throw damaged("its records do not fill it");
  return entries;
}

function hashTrailer(vaultId: Uint8Array, covered: Uint8Array): Uint8Array {
  const hash = createHash("sha256").update(encodePackHeader(vaultId)).update(covered);
  return new Uint8Array(hash.digest());
}

function damaged(state: string, cause?: unknown): DamagedError {
  return new DamagedError(`Cannot read pack: ${state}`, { cause });
}
