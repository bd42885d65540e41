/** Work that gives way: some milliseconds at a time, and only a share of all time. */
import type { Clock } from "../time.ts";

/** Longest time without letting others have the thread. */
const TURN_MS = 8;
/** Longest rest, so that a stop is heard. */
const REST_MS_MAX = 1000;

/** How much of the time may be used, above 0 to 1. */
export interface Shares {
  /** While nobody is served. */
  quiet: number;
  busy: number;
}

export interface ThrottleOptions {
  clock: Clock;
  shares: Shares;
  /** Whether somebody is served. */
  isBusy?: () => boolean;
  isStopping: () => boolean;
}

/** The server stops: what is under way is left as it is, and is taken up again another time. */
export class StoppedError extends Error {
  override name = "StoppedError";
}

export class Throttle {
  readonly #options: ThrottleOptions;
  #startedMs: number;

  constructor(options: ThrottleOptions) {
    this.#options = options;
    this.#startedMs = options.clock.elapsed();
  }

  /**
   * To be awaited between any two steps.
   *
   * @throws {StoppedError}
   */
  async pause(): Promise<void> {
    const { clock, shares, isBusy, isStopping } = this.#options;
    if (isStopping()) throw new StoppedError("Cannot go on: the server stops");
    const workedMs = clock.elapsed() - this.#startedMs;
    if (workedMs < TURN_MS) return;
    const share = isBusy?.() ? shares.busy : shares.quiet;
    const restMs = Math.min(workedMs * (1 / share - 1), REST_MS_MAX);
    await new Promise((resolve) => setTimeout(resolve, restMs));
    this.#startedMs = clock.elapsed();
  }
}
