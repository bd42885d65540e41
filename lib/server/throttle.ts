/** Work that gives way: some milliseconds at a time, and only a share of all time. */
import type { Clock } from "../time.ts";

/** Longest time without letting others have the thread. */
const TURN_MS = 8;

/** The server stops: what is under way is left as it is, and is taken up again another time. */
export class StoppedError extends Error {
  override name = "StoppedError";
}

export class Throttle {
  readonly #clock: Clock;
  readonly #share: number;
  readonly #isStopping: () => boolean;
  #startedMs: number;

  /** @param share how much of the time may be used, above 0 to 1 */
  constructor(
    { clock, share, isStopping }: { clock: Clock; share: number; isStopping: () => boolean },
  ) {
    this.#clock = clock;
    this.#share = share;
    this.#isStopping = isStopping;
    this.#startedMs = clock.elapsed();
  }

  /**
   * To be awaited between any two steps.
   *
   * @throws {StoppedError}
   */
  async pause(): Promise<void> {
    if (this.#isStopping()) throw new StoppedError("Cannot go on: the server stops");
    const workedMs = this.#clock.elapsed() - this.#startedMs;
    if (workedMs < TURN_MS) return;
    const restMs = Math.min(workedMs * (1 / this.#share - 1), 1000);
    await new Promise((resolve) => setTimeout(resolve, restMs));
    this.#startedMs = this.#clock.elapsed();
  }
}
