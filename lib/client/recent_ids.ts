/** Remembers which records came last: what comes again soon need not be asked for or sent again. */

export class RecentIds {
  readonly #max: number;
  #young = new Set<string>();
  #old = new Set<string>();

  /** @param max about so many are remembered; at least half of it */
  constructor(max: number) {
    this.#max = max;
  }

  /** Whether the id is new. */
  add(id: Uint8Array): boolean {
    const name = id.toBase64();
    if (this.#young.has(name) || this.#old.has(name)) return false;
    if (this.#young.size >= this.#max / 2) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(name);
    return true;
  }
}
