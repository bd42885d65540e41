/**
 * Files that are either there whole or not at all, even after a power cut: written under a temporary name, flushed,
 * renamed, and the folder flushed (docs/architecture.md, "Durability").
 */
import { dirname } from "node:path";

/** Flushes a folder, so that names made, changed or removed in it survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  if (Deno.build.os === "windows") return; // Windows has no such call; NTFS journals its names
  using directory = await Deno.open(path, { read: true });
  await directory.sync();
}

/**
 * Puts a whole file in place of another or of none, atomically and durably. A crash at any point leaves the old file
 * or the new one, and at worst a `.tmp` beside it.
 */
export async function writeFileDurably(
  path: string,
  bytes: Uint8Array,
  { mode }: { mode: number },
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    using file = await Deno.open(temporary, { write: true, createNew: true, mode });
    await writeAll(file, bytes);
    await file.sync();
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
  await Deno.rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** What SQLite says on a full disk: its own word, and that its shared memory cannot grow. */
const SQLITE_FULL = [13, 10 | (19 << 8)];

/** Whether this, or what caused it, is what a full disk or a used-up quota says. */
export function isNoSpace(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const isFull = code === "ENOSPC" || code === "EDQUOT" || SQLITE_FULL.includes(errcode as number);
  return isFull || isNoSpace(error.cause);
}

/** Whether this is what a disk says of a sector that it has lost: as good as wrong bytes, and healed in the same way. */
export function isUnreadable(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === "EIO";
}

/** Writes all of the bytes: one call may write fewer. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await file.write(written === 0 ? bytes : bytes.subarray(written));
  }
}

/** Removes a file; that it is not there is as good. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
