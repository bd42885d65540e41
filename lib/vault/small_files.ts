/**
 * Records of small files (docs/format.md, "Small files"): files below 256 KiB are laid one after
 * another, in path order, and a record ends behind a file. No file is in two records. Where records end
 * follows from the files alone, so a changed file moves no cut but its own.
 */
import { keyedHash } from "./keyed_hash.ts";

const KIB = 1024;
/** A file of this size or more is cut by itself, as a large one. */
export const SMALL_FILE_BYTES_MAX = 256 * KIB;
export const SMALL_RECORD_BYTES_MIN = 128 * KIB;
/** A record that would get larger than this ends before the file. */
export const SMALL_RECORD_BYTES_MAX = 1024 * KIB;
/** Past the minimum a record goes on for about this many bytes. */
const SPREAD_BYTES = 128 * KIB;
const TAIL_BYTES = 64;
const HASH_SEED = 255;

/** Whether a file must go into the next record, because it does not fit this one. */
export function overflowsRecord(recordBytes: number, fileBytes: number): boolean {
  return recordBytes > 0 && recordBytes + fileBytes > SMALL_RECORD_BYTES_MAX;
}

/**
 * Whether a record ends behind a file. Chance grows with the file's size, so that records come out
 * about 256 KiB large, whatever the sizes of the files.
 *
 * @param pathTable from the write secret
 * @param recordBytes size of the record with this file in it
 */
export function endsRecord(
  pathTable: Uint32Array,
  { recordBytes, file }: { recordBytes: number; file: Uint8Array },
): boolean {
  if (recordBytes < SMALL_RECORD_BYTES_MIN) return false;
  const tail = file.subarray(Math.max(0, file.length - TAIL_BYTES));
  const threshold = Math.min(1, file.length / SPREAD_BYTES) * 2 ** 32;
  return keyedHash(pathTable, HASH_SEED, tail) < threshold;
}
