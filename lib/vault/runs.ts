/**
 * Where segments, lists and index records end (docs/format.md, "Cuts"): behind an item whose keyed hash
 * says so, so that a change in one place moves no cut elsewhere. Readers never need these rules.
 */

const KIB = 1024;

/** Bounds of one kind of record of text. */
export interface RunRules {
  /** With fewer items and fewer characters than these, no record ends. */
  itemsMin: number;
  charsMin: number;
  /** From either of these on an end is more likely. */
  itemsNormal: number;
  charsNormal: number;
  /** At either of these it ends. */
  itemsMax: number;
  charsMax: number;
  /** How many high bits of the hash must be zero, before and after `normal`. */
  earlyBits: number;
  lateBits: number;
}

const CHARS = { charsMin: 128 * KIB, charsNormal: 256 * KIB, charsMax: 512 * KIB };

/** About 1250 entries. */
export const SEGMENT_RUN: RunRules = {
  ...{ itemsMin: 256, itemsNormal: 2048, itemsMax: 4096, ...CHARS },
  ...{ earlyBits: 10, lateBits: 6 },
};

/** Index records: each item takes up to two links. Lists: the same. */
export const INDEX_RUN: RunRules = {
  ...{ itemsMin: 128, itemsNormal: 1024, itemsMax: 4000, ...CHARS },
  ...{ earlyBits: 9, lateBits: 6 },
};

/** Whether a record ends behind the item that was just added. Its hash is asked for only where it matters. */
export function endsRun(
  rules: RunRules,
  { items, chars, hash }: { items: number; chars: number; hash: () => number },
): boolean {
  if (items < 2) return false; // or index records would not get fewer from level to level
  if (items >= rules.itemsMax || chars >= rules.charsMax) return true;
  if (items < rules.itemsMin && chars < rules.charsMin) return false;
  const isLate = items >= rules.itemsNormal || chars >= rules.charsNormal;
  return hash() >>> (32 - (isLate ? rules.lateBits : rules.earlyBits)) === 0;
}
