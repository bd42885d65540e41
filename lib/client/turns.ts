/** Gives all else in a thread its turn (answers, the terminal, Ctrl-C) while something there takes long. */
import { BACKUP } from "../limits.ts";

export class Turns {
  readonly #turnMs: number;
  #dueAt: number;

  /** @param turnMs how long the others wait */
  constructor(turnMs: number = BACKUP.turnMs) {
    this.#turnMs = turnMs;
    this.#dueAt = performance.now() + turnMs;
  }

  /** Whether the others have waited for long. Not each time: a turn takes longer than a file. */
  get isDue(): boolean {
    return performance.now() >= this.#dueAt;
  }

  async take(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#dueAt = performance.now() + this.#turnMs;
  }
}
