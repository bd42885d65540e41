/** What a file looks like from outside: the part of an entry that the file system tells. */
import { describeError } from "../errors.ts";
import type { Entry } from "../vault/entry.ts";

/** Fields of an entry that come from the file system. */
export type EntryState = Omit<Entry, "path" | "type" | "target" | "extents" | "lists">;

/** What must be equal for a file to be taken as unchanged. */
export type FileStamp = Pick<Entry, "size" | "mtimeMs" | "ctimeMs" | "inode">;

const MODE_MASK = 0o7777;
const CLOCK_TICKS_MS = 20;

/** Fields of an entry; its size is 0 unless it is a file. */
export function stateEntry(info: Deno.FileInfo): EntryState {
  // An inode that a number cannot hold could look like that of another file.
  const isKnown = info.ino !== null && Number.isSafeInteger(info.ino);
  return {
    size: info.isFile ? info.size : 0,
    mode: (info.mode ?? (info.isDirectory ? 0o755 : 0o644)) & MODE_MASK,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    mtimeMs: timeOf(info.mtime),
    ctimeMs: timeOf(info.ctime),
    inode: isKnown ? info.ino! : 0,
    nlink: isKnown ? info.nlink ?? 1 : 1,
  };
}

export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs &&
    a.inode === b.inode;
}

/**
 * Whether a file may have been written once more after a look at `startMs` without another mtime: the system's clock
 * ticks every 10 ms at worst. The ctime cannot tell it, because the runtime gives it in whole seconds. What stays unseen is
 * a file that is written in place within a second of the look, keeps its size, and has its mtime set back to the
 * millisecond (docs/architecture.md, "Unchanged files").
 */
export function isFresh(mtimeMs: number, startMs: number): boolean {
  return mtimeMs >= startMs - CLOCK_TICKS_MS;
}

/** Why a file cannot be read, without its path, which stands beside it anyway. */
export function describeFileError(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "it is gone";
  if (error instanceof Deno.errors.NotCapable) return "this program has no permission to read it";
  return describeError(error).replace(/ \(os error \d+\).*$/s, "");
}

function timeOf(time: Date | null): number {
  const ms = time?.getTime() ?? 0;
  return Number.isSafeInteger(ms) ? ms : 0;
}
