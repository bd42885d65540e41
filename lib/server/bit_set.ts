/** A set of row numbers, one bit for each: all that may be held in memory for every row of a table. */
export class BitSet {
  #bits: Uint8Array;

  /** For numbers from 0 to `max`. */
  constructor(max: number) {
    this.#bits = new Uint8Array((max >>> 3) + 1);
  }

  /** Makes room for numbers up to `max`. */
  grow(max: number): void {
    const bits = new Uint8Array((max >>> 3) + 1);
    if (bits.length <= this.#bits.length) return;
    bits.set(this.#bits);
    this.#bits = bits;
  }

  /** A number that there is no room for is not added. */
  add(number: number): void {
    this.#bits[number >>> 3] |= 1 << (number & 7);
  }

  has(number: number): boolean {
    return (this.#bits[number >>> 3] & (1 << (number & 7))) !== 0;
  }

  /** The next numbers behind `after`, in order. */
  listAfter(after: number, max: number): number[] {
    const numbers: number[] = [];
    for (let number = after + 1; number < this.#bits.length * 8 && numbers.length < max; number++) {
      if ((number & 7) === 0 && this.#bits[number >>> 3] === 0) number += 7;
      else if (this.has(number)) numbers.push(number);
    }
    return numbers;
  }
}
