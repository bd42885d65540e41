/**
 * Cuts a large file into chunks and holes, a buffer at a time (docs/format.md, "Chunks"; docs/architecture.md, "Holes"). The cuts depend on the file's
 * contents only, not on where buffers end.
 */
import { Chunker, type ChunkSizes, FILE_CHUNKS } from "../vault/chunker.ts";
import { type ContentReader, HOLE_BLOCK_BYTES, isZeroBlock } from "./content_reader.ts";

const STEP_BYTES = 4 * HOLE_BLOCK_BYTES;
/** A buffer must have room for the largest chunk and what is read behind it. */
export const CUT_BUFFER_BYTES_MIN = FILE_CHUNKS.max + STEP_BYTES;
/** After so many bytes of holes the caller gets its turn. */
const HOLES_PER_PIECE_BYTES = 1024 * 1024 * 1024;

/** A chunk in the buffer, or a hole of some bytes. */
export type Part = { start: number; end: number } | { hole: number };

export class FileCutter {
  readonly #reader: ContentReader;
  readonly #chunker: Chunker;
  readonly #carry = new Uint8Array(FILE_CHUNKS.max);
  #carryBytes = 0;
  #leftBytes: number;
  #isDone = false;

  /** @param sizeMax where to stop, even if the file has more */
  constructor(
    reader: ContentReader,
    { chunkTable, sizeMax, sizes = FILE_CHUNKS }: {
      chunkTable: Uint32Array;
      sizeMax: number;
      sizes?: ChunkSizes;
    },
  ) {
    this.#reader = reader;
    this.#chunker = new Chunker(chunkTable, sizes);
    this.#leftBytes = sizeMax;
  }

  /**
   * The next parts of the file, whose chunks lie in `buffer`; undefined at the end. The buffer may be
   * another one each time.
   *
   * @throws {RangeError} if it has less than {@link CUT_BUFFER_BYTES_MIN}: an open chunk might fill it, and there it would end
   */
  next(buffer: Uint8Array): Part[] | undefined {
    if (buffer.length < CUT_BUFFER_BYTES_MIN) {
      throw new RangeError("Buffer too small to cut a file");
    }
    if (this.#isDone) return undefined;
    const parts: Part[] = [];
    buffer.set(this.#carry.subarray(0, this.#carryBytes));
    let [start, filled] = [0, this.#carryBytes];
    let holes = 0;
    while (filled + STEP_BYTES <= buffer.length && holes < HOLES_PER_PIECE_BYTES) {
      const want = Math.min(STEP_BYTES, this.#leftBytes);
      const count = want === 0 ? 0 : this.#reader.read(buffer.subarray(filled, filled + want));
      this.#leftBytes -= count;
      const end = filled + count;
      for (let at = filled; at < end;) {
        const run = takeRun(buffer, at, end);
        if (run.isHole) {
          // The next read goes over a hole at the end: nothing of it is kept.
          start = this.#closeChunk(parts, start, at);
          addHole(parts, run.end - at);
          holes += run.end - at;
          if (run.end < end) start = run.end;
        } else {
          start = this.#cut(buffer, { start, at, end: run.end, parts });
          filled = run.end;
        }
        at = run.end;
      }
      if (count < STEP_BYTES) {
        this.#closeChunk(parts, start, filled);
        this.#isDone = true;
        return parts.length > 0 ? parts : undefined;
      }
    }
    this.#carryBytes = filled - start;
    this.#carry.set(buffer.subarray(start, filled));
    return parts;
  }

  /** Looks for cuts; returns where the open chunk starts. */
  #cut(
    buffer: Uint8Array,
    { start, at, end, parts }: { start: number; at: number; end: number; parts: Part[] },
  ): number {
    while (at < end) {
      const cut = this.#chunker.find(buffer, { start: at, end });
      if (cut < 0) break;
      parts.push({ start, end: cut });
      start = at = cut;
    }
    return start;
  }

  /** Returns where the next chunk starts. */
  #closeChunk(parts: Part[], start: number, end: number): number {
    if (end > start) parts.push({ start, end });
    this.#chunker.reset();
    return end;
  }
}

/** The longest run of blocks from `at` on that are all holes, or none of which is. */
function takeRun(buffer: Uint8Array, at: number, end: number): { isHole: boolean; end: number } {
  const isHole = isZeroBlock(buffer.subarray(at, Math.min(end, at + HOLE_BLOCK_BYTES)));
  let next = at;
  do next = Math.min(end, next + HOLE_BLOCK_BYTES); while (
    next < end &&
    isZeroBlock(buffer.subarray(next, Math.min(end, next + HOLE_BLOCK_BYTES))) === isHole
  );
  return { isHole, end: next };
}

function addHole(parts: Part[], size: number): void {
  const last = parts.at(-1);
  if (last !== undefined && "hole" in last) last.hole += size;
  else parts.push({ hole: size });
}
