/**
 * A fast keyed hash that says where segments and records of small files end (docs/format.md, "Cuts").
 * It only chooses cuts: nothing rests on its strength, and readers never need it.
 */

const MULTIPLIER = 0x9e3779b1;
const ASCII_MAX = 0x7f;

const encoder = new TextEncoder();

/** A number from 0 to 2^32 - 1. `seed` (0 to 255) keeps different uses apart. */
export function keyedHash(table: Uint32Array, seed: number, bytes: Uint8Array): number {
  let hash = table[seed];
  for (let i = 0; i < bytes.length; i++) hash = mix(hash, table[bytes[i]]);
  return finish(hash);
}

/** The same of a text's bytes in UTF-8, which most texts need not be turned into: a buffer for each path takes longer. */
export function keyedTextHash(table: Uint32Array, seed: number, text: string): number {
  let hash = table[seed];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > ASCII_MAX) return keyedHash(table, seed, encoder.encode(text));
    hash = mix(hash, table[unit]);
  }
  return finish(hash);
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, MULTIPLIER);
  return mixed ^ (mixed >>> 15);
}

function finish(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
