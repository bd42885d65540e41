/** Whether devices are being served: upkeep gives way to them. */
import { UPKEEP } from "../limits.ts";
import type { Clock } from "../time.ts";

export class Activity {
  readonly #clock: Clock;
  #serving = 0;
  #servedMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a request is being handled, or was a moment ago. */
  get isBusy(): boolean {
    return this.#serving > 0 || this.#clock.elapsed() - this.#servedMs < UPKEEP.busyMs;
  }

  /** A request begins to be handled. */
  begin(): void {
    this.#serving++;
  }

  end(): void {
    this.#serving--;
    this.#servedMs = this.#clock.elapsed();
  }
}
