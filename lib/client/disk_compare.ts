/** Compares what was restored with the file that it is of, where that still looks as it did when it was backed up. */
import { Buffer } from "node:buffer";
import { DRILL } from "../limits.ts";
import type { FileStamp } from "./file_state.ts";
import { isSameStamp, stateEntry } from "./file_state.ts";

export type Comparison =
  /** The contents are equal. */
  | "same"
  /** Size and times are equal, the contents are not. */
  | "differing"
  /** It is another file now, or has another size or time. */
  | "changed"
  | "missing"
  /** Nobody lets us read it. */
  | "unreadable";

/**
 * @param path of the file on the disk
 * @param restored where its contents were restored to
 * @param stamp as the snapshot has it
 */
export async function compareWithDisk(
  path: string,
  { restored, stamp }: { restored: string; stamp: FileStamp },
): Promise<Comparison> {
  try {
    const found = Deno.lstatSync(path);
    // Nothing else is opened: a pipe would keep us for ever.
    if (!found.isFile || !isSameStamp(stateEntry(found), stamp)) return "changed";
    using file = Deno.openSync(path, { read: true });
    using copy = Deno.openSync(restored, { read: true });
    const isSame = await haveSameContents(file, copy);
    // Of a file that changed while it was read nothing can be said.
    return isSameStamp(stateEntry(file.statSync()), stamp)
      ? isSame ? "same" : "differing"
      : "changed";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "missing";
    // A folder on the way is none any more.
    if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return "missing";
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    return "unreadable";
  }
}

/** Reads asynchronously, so that an interruption is heard. */
async function haveSameContents(a: Deno.FsFile, b: Deno.FsFile): Promise<boolean> {
  const [left, right] = [new Uint8Array(DRILL.pieceBytes), new Uint8Array(DRILL.pieceBytes)];
  for (;;) {
    const counts = [await readFull(a, left), await readFull(b, right)];
    if (counts[0] !== counts[1]) return false;
    if (counts[0] === 0) return true;
    if (Buffer.compare(left.subarray(0, counts[0]), right.subarray(0, counts[0])) !== 0) {
      return false;
    }
  }
}

/** Fills the buffer, unless the file ends. Returns the number of bytes. */
async function readFull(file: Deno.FsFile, buffer: Uint8Array): Promise<number> {
  let size = 0;
  while (size < buffer.length) {
    const count = await file.read(buffer.subarray(size));
    if (count === null) break;
    size += count;
  }
  return size;
}
