/**
 * A systematic Reed-Solomon code for erasures: `dataCount` shards of equal size get `parityCount` more, and from any
 * `dataCount` of all of them the rest follows (docs/store.md, "Parity"). Which shards are wrong must be known; finding
 * that out is for checksums. Pure.
 *
 * Parity shard j is the sum of all data shards i, each times 1 / ((dataCount + j) XOR i): a Cauchy matrix, of which every
 * square part can be inverted. ISA-L (`gf_gen_cauchy1_matrix`) uses the same.
 */
import { invert, invertMatrix, multiply } from "./galois.ts";

/** Data and parity shards of one code: the elements of the field. */
export const SHARDS_MAX = 256;

/** Sums that are computed with one look-up: a word has four bytes. */
const SUMS_PER_WORD = 4;

export interface CodeShape {
  dataCount: number;
  parityCount: number;
}

/** What data shard `i` is multiplied with in each parity shard. */
export function encodingFactors({ dataCount, parityCount }: CodeShape, i: number): Uint8Array {
  return Uint8Array.from({ length: parityCount }, (_, j) => factor(dataCount, j, i));
}

function factor(dataCount: number, j: number, i: number): number {
  return invert((dataCount + j) ^ i);
}

/**
 * Sums of multiples of byte strings of one length: what both parity and recovery are. Of a byte, the products for four
 * sums are four bytes of one word in a table, so that one look-up and one XOR make all four.
 */
export class Sums {
  readonly #count: number;
  /** For each four sums a word for each byte. */
  readonly #words: Uint32Array[] = [];
  readonly #table = new Uint32Array(256);

  /** @param count of sums @param size of each, in bytes */
  constructor(count: number, size: number) {
    this.#count = count;
    for (let at = 0; at < count; at += SUMS_PER_WORD) this.#words.push(new Uint32Array(size));
  }

  /**
   * Adds a string to all sums, to each times its factor.
   *
   * @param at where in the sums it begins
   */
  add(bytes: Uint8Array, factors: Uint8Array, at = 0): void {
    for (const [group, words] of this.#words.entries()) {
      const table = this.#fillTable(factors.subarray(group * SUMS_PER_WORD));
      for (let i = 0, to = at; i < bytes.length; i++, to++) words[to] ^= table[bytes[i]];
    }
  }

  /** The sums. */
  done(): Uint8Array<ArrayBuffer>[] {
    return Array.from({ length: this.#count }, (_, sum) => {
      const words = this.#words[Math.floor(sum / SUMS_PER_WORD)];
      const shift = 8 * (sum % SUMS_PER_WORD);
      const bytes = new Uint8Array(words.length);
      for (let i = 0; i < bytes.length; i++) bytes[i] = words[i] >>> shift;
      return bytes;
    });
  }

  #fillTable(factors: Uint8Array): Uint32Array {
    const table = this.#table.fill(0);
    const count = Math.min(factors.length, SUMS_PER_WORD);
    for (let sum = 0; sum < count; sum++) {
      for (let byte = 0; byte < table.length; byte++) {
        table[byte] |= multiply(byte, factors[sum]) << 8 * sum;
      }
    }
    return table;
  }
}

/** Data shards that are there; the others are undefined. One that is shorter than the others ends in zeros. */
export type DataShards = readonly (Uint8Array | undefined)[];

/**
 * The data shards that are not there, by their place.
 *
 * @param parity parity shards that are there, by their place; all of one length
 * @throws {RangeError} if there are fewer than what is missing
 */
export function recoverShards(
  data: DataShards,
  parity: ReadonlyMap<number, Uint8Array>,
): Map<number, Uint8Array> {
  const missing = [...data.keys()].filter((i) => data[i] === undefined);
  const used = [...parity].slice(0, missing.length);
  if (used.length < missing.length) {
    throw new RangeError(`Cannot recover ${missing.length} shards from ${used.length}`);
  }
  if (missing.length === 0) return new Map();
  const size = used[0][1].length;
  const row = (j: number) => (i: number) => factor(data.length, j, i);
  // What a parity shard is less what is there of it: sums of what is missing.
  const sums = new Sums(used.length, size);
  for (const [i, shard] of data.entries()) {
    if (shard !== undefined) sums.add(shard, Uint8Array.from(used, ([j]) => row(j)(i)));
  }
  for (const [r, [, shard]] of used.entries()) {
    sums.add(shard, Uint8Array.from(used, (_, at) => at === r ? 1 : 0));
  }
  const inverse = invertMatrix(used.map(([j]) => Uint8Array.from(missing, row(j))));
  const recovered = new Sums(missing.length, size);
  for (const [r, sum] of sums.done().entries()) {
    recovered.add(sum, Uint8Array.from(inverse, (inverseRow) => inverseRow[r]));
  }
  const shards = recovered.done();
  return new Map(missing.map((i, at) => [i, shards[at]]));
}
