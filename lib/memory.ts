/**
 * Keeps the process small. The engine lets garbage pile up for as long as the machine has memory, which is right for a
 * program that has a machine to itself. A backup runs beside others: so the engine is made to collect whenever the
 * heap has grown by a certain amount.
 */

const MIB = 1024 * 1024;
/** With its heap that is more than the engine lets come together before its first collection. */
const PRESSURE_BYTES = 512 * MIB;

export class MemoryKeeper {
  readonly #growthBytesMax: number;
  readonly #begin: () => void;
  #baseBytes = Infinity;

  /**
   * @param growthBytesMax growth of this thread's heap, and of buffers that it holds, before it is collected
   * @param begin begins a collection
   */
  constructor(growthBytesMax: number, begin = beginCollection) {
    this.#growthBytesMax = growthBytesMax;
    this.#begin = begin;
  }

  /**
   * Begins a collection if the heap has grown since the last one. Not for every file: it takes some microseconds.
   *
   * @param liveBytes of buffers that are in use and come and go, which are no garbage
   */
  check({ liveBytes = 0 } = {}): void {
    const bytes = usedBytes() - liveBytes;
    this.#baseBytes = Math.min(this.#baseBytes, bytes); // falls when the collection has done its work
    if (bytes < this.#baseBytes + this.#growthBytesMax) return;
    this.#begin();
    this.#baseBytes = bytes;
  }
}

/** Not what the engine has set aside: it does that for the young objects as well, which it collects by itself. */
function usedBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/**
 * The engine begins by itself, and works mostly beside the program, when buffers have grown too much since it last did. This
 * one is gone at once, and as nobody touches it, it takes no memory. The runtime's `gc()` stops the program, several times as
 * long (bench/README.md, "Collecting beside the work").
 */
function beginCollection(): void {
  try {
    new ArrayBuffer(PRESSURE_BYTES).transfer(0);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // no room for it: so the engine has just collected
  }
}
