/**
 * Cuts file contents into chunks where the contents say so (docs/format.md, "Chunks"): a gear hash with
 * normalised cut points (FastCDC), whose table follows from the write secret. One pass; nothing is copied.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Sizes of chunks in bytes, and which bits of the hash must be zero before and after `normal`. */
export interface ChunkSizes {
  min: number;
  /** From here on a cut is four times as likely. */
  normal: number;
  max: number;
  earlyMask: number;
  lateMask: number;
}

/** For files of 256 KiB and more: about 1 MiB on average. The last chunk of a file may be smaller. */
export const FILE_CHUNKS: ChunkSizes = {
  min: 512 * KIB,
  normal: 1 * MIB,
  /** What fits a record. */
  max: 4 * MIB - 128 * KIB,
  earlyMask: topBits(21),
  lateMask: topBits(19),
};

/** Finds the cuts of one file after another, in pieces of any size. */
export class Chunker {
  readonly #table: Uint32Array;
  readonly #sizes: ChunkSizes;
  #hash = 0;
  #size = 0;

  /** @param table 256 numbers of 32 bits, from the write secret */
  constructor(table: Uint32Array, sizes: ChunkSizes = FILE_CHUNKS) {
    this.#table = table;
    this.#sizes = sizes;
  }

  /** Bytes of the current chunk that were given so far. */
  get pendingBytes(): number {
    return this.#size;
  }

  /**
   * Looks for the end of the current chunk in `bytes` from `start` to `end`.
   *
   * @returns the offset behind the chunk's last byte, where the next search starts; or -1 if the chunk
   * goes on past `end`, where the next piece starts
   */
  find(bytes: Uint8Array, { start, end }: { start: number; end: number }): number {
    const { min, normal, max, earlyMask, lateMask } = this.#sizes;
    const base = start - this.#size; // where the chunk would begin in these bytes
    let at = Math.min(end, Math.max(start, base + min));
    at = this.#scan(bytes, { at, end: Math.min(end, base + normal), mask: earlyMask });
    if (at < 0) return this.#cut(~at);
    at = this.#scan(bytes, { at, end: Math.min(end, base + max), mask: lateMask });
    if (at < 0) return this.#cut(~at);
    if (at === base + max) return this.#cut(at);
    this.#size += end - start;
    return -1;
  }

  /** Forgets the current chunk: the file has ended, and the next one begins. */
  reset(): void {
    this.#hash = 0;
    this.#size = 0;
  }

  #cut(at: number): number {
    this.reset();
    return at;
  }

  /** Offset where the scan stopped, or the complement of the offset of a cut. */
  #scan(
    bytes: Uint8Array,
    { at, end, mask }: { at: number; end: number; mask: number },
  ): number {
    if (at >= end) return at;
    const table = this.#table;
    let hash = this.#hash;
    let i = at;
    for (const blocks = end - 3; i < blocks; i += 4) {
      hash = (hash << 1) + table[bytes[i]] | 0;
      if ((hash & mask) === 0) return ~(i + 1);
      hash = (hash << 1) + table[bytes[i + 1]] | 0;
      if ((hash & mask) === 0) return ~(i + 2);
      hash = (hash << 1) + table[bytes[i + 2]] | 0;
      if ((hash & mask) === 0) return ~(i + 3);
      hash = (hash << 1) + table[bytes[i + 3]] | 0;
      if ((hash & mask) === 0) return ~(i + 4);
    }
    for (; i < end; i++) {
      hash = (hash << 1) + table[bytes[i]] | 0;
      if ((hash & mask) === 0) return ~(i + 1);
    }
    this.#hash = hash;
    return end;
  }
}

/** The highest bits, which the most bytes have had a part in. */
function topBits(count: number): number {
  return -1 << (32 - count);
}
