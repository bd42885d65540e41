/**
 * Remembers ids in a bounded amount of memory: eight bytes of each, in a table of fixed size. An id that was not added is
 * never found, but for a collision of hashes; one that was added may be forgotten.
 */
const PROBES_MAX = 8;

export class IdFilter {
  readonly #slots: BigUint64Array;
  readonly #mask: number;

  /** @param capacity ids; a power of two */
  constructor(capacity: number) {
    if (capacity < 1 || !Number.isInteger(Math.log2(capacity))) {
      throw new RangeError("Bad capacity");
    }
    this.#slots = new BigUint64Array(capacity);
    this.#mask = capacity - 1;
  }

  /** Remembers an id; if its places are taken, it takes that of an older one. */
  add(id: Uint8Array): void {
    const { value, start } = this.#locate(id);
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (start + i) & this.#mask;
      if (this.#slots[slot] !== 0n && this.#slots[slot] !== value) continue;
      this.#slots[slot] = value;
      return;
    }
    this.#slots[start] = value;
  }

  has(id: Uint8Array): boolean {
    const { value, start } = this.#locate(id);
    for (let i = 0; i < PROBES_MAX; i++) {
      if (this.#slots[(start + i) & this.#mask] === value) return true;
    }
    return false;
  }

  /** Ids are hashes: other bytes of them say where to look. */
  #locate(id: Uint8Array): { value: bigint; start: number } {
    const view = new DataView(id.buffer, id.byteOffset, id.byteLength);
    return { value: view.getBigUint64(8, true), start: view.getUint32(0, true) & this.#mask };
  }
}
