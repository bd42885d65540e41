/**
 * A fast keyed hash that says where segments and records of small files end (docs/format.md, "Cuts").
 * It only chooses cuts: nothing rests on its strength, and readers never need it.
 */

const MULTIPLIER = 0x9e3779b1;

/** A number from 0 to 2^32 - 1. `seed` (0 to 255) keeps different uses apart. */
export function keyedHash(table: Uint32Array, seed: number, bytes: Uint8Array): number {
  let hash = table[seed];
  for (let i = 0; i < bytes.length; i++) {
    hash = Math.imul(hash ^ table[bytes[i]], MULTIPLIER);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
