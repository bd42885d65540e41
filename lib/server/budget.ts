/** Memory that all connections share: who needs a large buffer waits until there is room (docs/store.md, "Bounds"). */

/** Room that was given, until it is released. */
export class Share {
  #release: (() => void) | undefined;

  constructor(release: () => void) {
    this.#release = release;
  }

  /** Gives the room back. Once is enough, more does no harm. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

/** Takes room of one vault first and then of all, so that nobody else waits behind a vault that has used up its own. */
export async function takeRoom(bytes: number, budgets: Budget[]): Promise<Share> {
  const shares: Share[] = [];
  for (const budget of budgets) shares.push(await budget.take(bytes));
  return new Share(() => shares.forEach((share) => share.release()));
}

export class Budget {
  #left: number;
  readonly #waiting: { bytes: number; give: () => void }[] = [];

  /** @param bytes in all; no share may be larger */
  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Waits for room, in the order of asking. */
  async take(bytes: number): Promise<Share> {
    if (this.#waiting.length > 0 || bytes > this.#left) {
      await new Promise<void>((give) => this.#waiting.push({ bytes, give }));
    } else this.#left -= bytes;
    return new Share(() => this.#giveBack(bytes));
  }

  #giveBack(bytes: number): void {
    this.#left += bytes;
    while (this.#waiting.length > 0 && this.#waiting[0].bytes <= this.#left) {
      const { bytes, give } = this.#waiting.shift()!;
      this.#left -= bytes;
      give();
    }
  }
}
