/**
 * Writes files of a restore: under a temporary name, sparse where there is nothing but zeros, and in place by one rename
 * when they are complete. All calls are synchronous: they are faster so, and nothing comes in between.
 */
import { Buffer } from "node:buffer";
import { DamagedError } from "../errors.ts";
import { FILE_PIECE_BYTES, RESTORE } from "../limits.ts";
import type { FileMetadata, JobFile } from "./restore_job.ts";

const { sparseBlockBytes } = RESTORE;
const ZEROS = Buffer.alloc(sparseBlockBytes);
/** Nobody else may look at a file before it has its own mode. */
const TEMPORARY_MODE = 0o600;
const PERMISSION_BITS = 0o777;
const FULL_CODES = ["ENOSPC", "EDQUOT", "EROFS"];

/** Makes the file with its size, all zeros. Never opens what somebody else has put there. */
export function createFile({ temporary, size }: Pick<JobFile, "temporary" | "size">): void {
  using file = Deno.openSync(temporary, { write: true, createNew: true, mode: TEMPORARY_MODE });
  if (size > 0) file.truncateSync(size);
}

/** Writes some bytes of a file that {@link createFile} has made. */
export function writePiece(
  temporary: string,
  { bytes, at }: { bytes: Uint8Array; at: number },
): void {
  using file = Deno.openSync(temporary, { write: true });
  writeSparsely(file, { bytes, at });
}

/** Makes, writes and places a file of which all contents are at hand. */
export function writeWholeFile(
  file: Pick<JobFile, "temporary" | "target" | "size" | "metadata">,
  { bytes, umask }: { bytes: Uint8Array; umask: number },
): void {
  const { temporary, metadata, size } = file;
  // Its own mode at once, if that needs no owner and no special bits to be right.
  const isPlain = metadata.owner === undefined && (metadata.mode & ~PERMISSION_BITS) === 0;
  const mode = isPlain ? metadata.mode : TEMPORARY_MODE;
  const isFinal = isPlain && (metadata.mode & umask) === 0;
  {
    using handle = Deno.openSync(temporary, { write: true, createNew: true, mode });
    if (size < sparseBlockBytes) writeAllSync(handle, bytes);
    else {
      handle.truncateSync(size);
      writeSparsely(handle, { bytes, at: 0 });
    }
    if (isFinal) handle.utimeSync(new Date(metadata.mtimeMs), new Date(metadata.mtimeMs));
  }
  if (!isFinal) applyMetadata(temporary, metadata);
  Deno.renameSync(temporary, file.target);
}

/** Gives a complete file what belongs to it, and its name. */
export function placeFile(
  { temporary, target, metadata }: Pick<JobFile, "temporary" | "target" | "metadata">,
): void {
  applyMetadata(temporary, metadata);
  Deno.renameSync(temporary, target);
}

/** Owner before mode: a new owner takes special bits away. Time last: both others change nothing of it. */
export function applyMetadata(path: string, { mode, mtimeMs, owner }: FileMetadata): void {
  if (owner !== undefined) Deno.chownSync(path, owner.uid, owner.gid);
  Deno.chmodSync(path, mode);
  Deno.utimeSync(path, new Date(mtimeMs), new Date(mtimeMs));
}

/** Reads bytes back. @throws {DamagedError} if the file holds others */
export function verifyPiece(
  path: string,
  { bytes, at }: { bytes: Uint8Array; at: number },
): void {
  using file = Deno.openSync(path, { read: true });
  file.seekSync(at, Deno.SeekMode.Start);
  const buffer = new Uint8Array(Math.min(bytes.length, 1 << 20));
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(buffer.subarray(0, Math.min(buffer.length, bytes.length - done)));
    const expected = bytes.subarray(done, done + (count ?? 0));
    const isRight = count !== null && Buffer.compare(buffer.subarray(0, count), expected) === 0;
    if (!isRight) throw new DamagedError("Cannot verify file: the disk gives back other bytes");
    done += count;
  }
}

/** Whether an error will meet every other file too: it is senseless to go on. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && FULL_CODES.includes(String(error.code));
}

/** Removes what was begun; that it is not there is as good. */
export function discardFile(temporary: string): void {
  try {
    Deno.removeSync(temporary);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Leaves blocks of zeros out. The file has its size and is all zeros. */
function writeSparsely(
  file: Deno.FsFile,
  { bytes, at }: { bytes: Uint8Array; at: number },
): void {
  for (let start = 0; start < bytes.length;) {
    const end = nextBlock(start, at, bytes.length);
    if (isZero(bytes.subarray(start, end))) {
      start = end;
      continue;
    }
    let stop = end;
    while (stop < bytes.length) {
      const next = nextBlock(stop, at, bytes.length);
      if (isZero(bytes.subarray(stop, next))) break;
      stop = next;
    }
    file.seekSync(at + start, Deno.SeekMode.Start);
    writeAllSync(file, bytes.subarray(start, stop));
    start = stop;
  }
}

/** End of the block of the file that a position lies in, as a position in the bytes. */
function nextBlock(position: number, at: number, size: number): number {
  const inBlock = (at + position) % sparseBlockBytes;
  return Math.min(size, position + sparseBlockBytes - inBlock);
}

/** Whole blocks only: less than one is not worth a hole. */
function isZero(block: Uint8Array): boolean {
  if (block.length < sparseBlockBytes || block[0] !== 0) return false;
  return ZEROS.compare(block) === 0;
}

function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const isOne = at === 0 && bytes.length <= FILE_PIECE_BYTES;
    at += file.writeSync(isOne ? bytes : bytes.subarray(at, at + FILE_PIECE_BYTES));
  }
}
