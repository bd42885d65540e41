/**
 * Reads packs (docs/store.md, "Packs" and "Damage"): trailers to adopt them, whole records to serve them. What is read
 * is checked; what is wrong is an answer, because damage is expected and only failures of the system are errors.
 */
import type { BlobStore } from "../blobs.ts";
import { equalBytes } from "../bytes.ts";
import type { PackEntry } from "../db_records.ts";
import { DamagedError } from "../errors.ts";
import { STORE, VAULT } from "../limits.ts";
import { decodeRecord, recordId } from "../record.ts";
import {
  checkPackHeader,
  decodePackFooter,
  decodePackPrefix,
  decodePackTrailer,
  encodePackPrefix,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  PACK_PREFIX_BYTES,
  packTrailerSize,
} from "./pack_format.ts";

/** Which pack. */
export interface PackFile {
  vaultId: Uint8Array;
  name: string;
  /** Size of the file in bytes. */
  bytes: number;
}

/** The name of a pack's blob. */
export function packBlobName({ vaultId, name }: Pick<PackFile, "vaultId" | "name">): string {
  return `${vaultId.toHex()}/${name}`;
}

/**
 * The entries of a pack, from its trailer.
 *
 * @throws {DamagedError} if header or trailer are not whole
 */
export async function readPackEntries(blobs: BlobStore, file: PackFile): Promise<PackEntry[]> {
  const { vaultId, bytes } = file;
  if (bytes > STORE.packFileBytesMax) throw new DamagedError("Cannot read pack: it is too large");
  checkPackHeader(await readRange(blobs, file, 0, PACK_HEADER_BYTES), vaultId);
  const footer = await readRange(blobs, file, bytes - PACK_FOOTER_BYTES, PACK_FOOTER_BYTES);
  const size = packTrailerSize(decodePackFooter(footer));
  const trailer = await readRange(blobs, file, bytes - size, size);
  return decodePackTrailer(trailer, { vaultId, packBytes: bytes });
}

/**
 * The entries of a pack that is in memory, after all of it was found to be what the server wrote: header, trailer, and what
 * stands before each record; and each record is its id's.
 *
 * @param pause awaited between any two records
 * @throws {DamagedError} if anything is not
 */
export async function checkWholePack(
  bytes: Uint8Array,
  { vaultId, pause }: { vaultId: Uint8Array; pause: () => Promise<void> },
): Promise<PackEntry[]> {
  checkPackHeader(bytes.subarray(0, PACK_HEADER_BYTES), vaultId);
  const count = decodePackFooter(bytes.subarray(-PACK_FOOTER_BYTES));
  const trailer = bytes.subarray(Math.max(bytes.length - packTrailerSize(count), 0));
  const entries = decodePackTrailer(trailer, { vaultId, packBytes: bytes.length });
  for (const entry of entries) {
    const { id, offset, size } = entry;
    const prefix = bytes.subarray(offset - PACK_PREFIX_BYTES, offset);
    const isRight = equalBytes(prefix, encodePackPrefix(entry)) &&
      equalBytes(recordId(bytes.subarray(offset, offset + size)), id);
    if (!isRight) throw new DamagedError("Cannot use pack: a record is not what it was");
    await pause();
  }
  return entries;
}

/** The entries of a pack whose trailer is damaged: goes from record to record as long as they prove themselves. */
export async function salvagePackEntries(blobs: BlobStore, file: PackFile): Promise<PackEntry[]> {
  const entries: PackEntry[] = [];
  let offset = PACK_HEADER_BYTES;
  try {
    while (entries.length < STORE.packRecordsMax) {
      const prefix = await readRange(blobs, file, offset, PACK_PREFIX_BYTES);
      const { id, size } = decodePackPrefix(prefix);
      offset += PACK_PREFIX_BYTES;
      if (size > VAULT.recordBytesMax) break;
      const record = await readRange(blobs, file, offset, size);
      if (equalBytes(recordId(record), id)) {
        entries.push({ id, type: decodeRecord(record).type, offset, size });
      }
      offset += size;
    }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error; // it ends here
  }
  return entries;
}

/**
 * Reads a range whole.
 *
 * @throws {DamagedError} if the file is gone or ends before
 */
async function readRange(
  blobs: BlobStore,
  file: PackFile,
  offset: number,
  size: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (offset < 0 || offset + size > file.bytes) {
    throw new DamagedError("Cannot read pack: it is cut short");
  }
  const bytes = new Uint8Array(size);
  if (await blobs.read(packBlobName(file), offset, bytes) !== size) {
    throw new DamagedError("Cannot read pack: it is cut short");
  }
  return bytes;
}
