/**
 * Keeps the process small. The engine lets garbage pile up for as long as the machine has memory, which is right for a
 * program that has a machine to itself. A backup runs beside others: so the engine is asked to collect whenever the
 * heap has grown by a certain amount. What lives is small, so that takes some milliseconds.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export class MemoryKeeper {
  readonly #collect = findCollector();
  readonly #growthBytesMax: number;
  #baseBytes = Infinity;

  /** @param growthBytesMax growth of this thread's heap, and of buffers that it holds, before it is collected */
  constructor(growthBytesMax: number) {
    this.#growthBytesMax = growthBytesMax;
  }

  /**
   * Collects if the heap has grown, by another amount if one is given. Not for every file: it takes some microseconds.
   *
   * @param liveBytes of buffers that are in use and come and go, which are no garbage
   */
  check({ growthBytesMax = this.#growthBytesMax, liveBytes = 0 } = {}): void {
    const bytes = usedBytes() - liveBytes;
    this.#baseBytes = Math.min(this.#baseBytes, bytes);
    if (bytes < this.#baseBytes + growthBytesMax) return;
    this.#collect();
    this.#baseBytes = usedBytes() - liveBytes;
  }
}

/** Not what the engine has set aside: it does that for the young objects as well, which it collects by itself. */
function usedBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** The engine's collector, which is not there until it is asked for. */
function findCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("typeof gc === 'function' ? gc : undefined");
  return typeof collect === "function" ? () => collect() : () => {};
}
