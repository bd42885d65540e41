/**
 * Reads a file from front to back and tells where it has holes. The runtime cannot ask the file system for them. But
 * a read past the page cache (`O_DIRECT`) of a place where there is nothing costs next to nothing, and one of a place
 * with data fails, because the runtime's buffers are not aligned as it demands: then the same is read as usual. Either way
 * what is returned is what the file holds. So a file of 100 GB with nothing in it takes seconds, not minutes.
 */
import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";

/** Blocks of this size that hold only zeros become holes. */
export const HOLE_BLOCK_BYTES = 256 * 1024;
const ZEROS = new Uint8Array(HOLE_BLOCK_BYTES);

export class ContentReader implements Disposable {
  readonly #file: Deno.FsFile;
  #directFd: number | undefined;
  #offset = 0;

  /** @throws {Deno.errors.NotFound} and other errors of the file system */
  constructor(path: string, { isSparse }: { isSparse: boolean }) {
    this.#file = Deno.openSync(path, { read: true });
    if (isSparse) this.#directFd = openDirect(path);
  }

  [Symbol.dispose](): void {
    this.#file.close();
    if (this.#directFd !== undefined) closeSync(this.#directFd);
  }

  /** As it is now; the file that is open, whatever its path leads to meanwhile. */
  stat(): Deno.FileInfo {
    return this.#file.statSync();
  }

  /** Fills `target` from where the last read ended. Fewer bytes than it has: the file's end. */
  read(target: Uint8Array): number {
    const direct = this.#readDirect(target);
    if (direct > 0) return direct;
    let filled = 0;
    while (filled < target.length) {
      const count = this.#file.readSync(target.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    this.#offset += filled;
    return filled;
  }

  /** All of `target`, or nothing. */
  #readDirect(target: Uint8Array): number {
    if (this.#directFd === undefined) return 0;
    let count = 0;
    try {
      count = readSync(this.#directFd, target, 0, target.length, this.#offset);
    } catch {
      // There is data, or this file system does not do it. The usual read tells.
    }
    if (count < target.length) return 0;
    this.#offset += count;
    this.#file.seekSync(this.#offset, Deno.SeekMode.Start);
    return count;
  }
}

/** Whether a block is all zeros. Most blocks with data say no at their first bytes. */
export function isZeroBlock(block: Uint8Array): boolean {
  if (block.length === 0 || block[0] !== 0 || block[block.length - 1] !== 0) return false;
  return Buffer.compare(block, ZEROS.subarray(0, block.length)) === 0;
}

function openDirect(path: string): number | undefined {
  // Not there on all systems.
  const flag: number | undefined = constants.O_DIRECT;
  if (flag === undefined) return undefined;
  try {
    return openSync(path, constants.O_RDONLY | flag);
  } catch {
    return undefined; // some file systems refuse it
  }
}
