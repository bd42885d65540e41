/**
 * Ids of records that were seen lately, in a table of a fixed size: a new one takes the place of one that is there. What it
 * says was seen, was; what it has forgotten is only looked up once more.
 */
import { RECORD_ID_BYTES } from "../record.ts";

const ID_WORDS = RECORD_ID_BYTES / 4;

export class SeenIds {
  readonly #words: Uint32Array;
  readonly #mask: number;

  /** @param slots a power of two; 32 bytes each */
  constructor(slots: number) {
    this.#words = new Uint32Array(slots * ID_WORDS);
    this.#mask = slots - 1;
    this.clear();
  }

  clear(): void {
    for (let i = 0; i <= this.#mask; i++) this.#words[i * ID_WORDS] = ~i; // no id that belongs there
  }

  /** Adds ids, one behind the other. Gives a copy of those that it has not seen. */
  addAll(ids: Uint8Array): Uint8Array {
    const fresh = ids.slice();
    const words = new Uint32Array(fresh.buffer);
    let count = 0;
    for (let at = 0; at < words.length; at += ID_WORDS) {
      if (this.#add(words, at)) continue;
      words.copyWithin(count * ID_WORDS, at, at + ID_WORDS);
      count++;
    }
    return fresh.subarray(0, count * RECORD_ID_BYTES);
  }

  /** Whether it was there. */
  #add(words: Uint32Array, at: number): boolean {
    const seen = this.#words;
    const slot = (words[at] & this.#mask) * ID_WORDS; // ids are hashes: any part of one will do
    let i = 0;
    while (i < ID_WORDS && seen[slot + i] === words[at + i]) i++;
    if (i === ID_WORDS) return true;
    for (; i < ID_WORDS; i++) seen[slot + i] = words[at + i];
    return false;
  }
}
