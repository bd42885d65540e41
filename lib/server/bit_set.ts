/** A set of row numbers, one bit for each: all that may be held in memory for every row of a table. */
export class BitSet {
  readonly #bits: Uint8Array;

  /** For numbers from 0 to `max`. */
  constructor(max: number) {
    this.#bits = new Uint8Array((max >>> 3) + 1);
  }

  add(number: number): void {
    this.#bits[number >>> 3] |= 1 << (number & 7);
  }

  has(number: number): boolean {
    return (this.#bits[number >>> 3] & (1 << (number & 7))) !== 0;
  }
}
