import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { concatBytes } from "../../lib/bytes.ts";
import { Chunker, type ChunkSizes, FILE_CHUNKS } from "../../lib/vault/chunker.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import { check, drawSeed } from "../property.ts";
import { pseudoRandom } from "./fixture.ts";

const { chunkTable } = deriveWriteKeys(new Uint8Array(32).fill(7));
/** Small enough to test many cuts. */
const SIZES: ChunkSizes = {
  ...{ min: 64, normal: 128, max: 512 },
  earlyMask: -1 << (32 - 8),
  lateMask: -1 << (32 - 5),
};

/** Sizes of the chunks of a file that comes in pieces of the given sizes. */
function chunkSizes(
  bytes: Uint8Array,
  { sizes = SIZES, pieces = [] }: { sizes?: ChunkSizes; pieces?: number[] } = {},
): number[] {
  const chunker = new Chunker(chunkTable, sizes);
  const found: number[] = [];
  let chunkStart = 0;
  for (let start = 0, piece = 0; start < bytes.length; piece++) {
    const end = Math.min(bytes.length, start + (pieces[piece] ?? bytes.length));
    for (let at = start; at < end;) {
      const cut = chunker.find(bytes, { start: at, end });
      if (cut < 0) break;
      found.push(cut - chunkStart);
      chunkStart = at = cut;
    }
    start = end;
  }
  if (chunkStart < bytes.length) found.push(bytes.length - chunkStart);
  return found;
}

function chunkNames(bytes: Uint8Array, sizes: ChunkSizes): string[] {
  let start = 0;
  return chunkSizes(bytes, { sizes }).map((size) => {
    const chunk = bytes.subarray(start, start += size);
    return createHash("sha256").update(chunk).digest("hex");
  });
}

Deno.test("Chunker cuts the same however the bytes come in pieces", () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 30 });
  check(fc.property(fc.nat(), fc.nat({ max: 5000 }), pieces, (seed, size, pieces) => {
    const bytes = pseudoRandom(size, seed);
    assert.deepEqual(chunkSizes(bytes, { pieces }), chunkSizes(bytes));
  }));
});

Deno.test("Chunker works the same at any place of a reused buffer", () => {
  const bytes = pseudoRandom(5000, 3);
  const buffer = pseudoRandom(6000, 4);
  buffer.set(bytes, 777);
  const chunker = new Chunker(chunkTable, SIZES);
  const whole = chunkSizes(bytes);
  let at = 777;
  for (const size of whole.slice(0, -1)) {
    const cut = chunker.find(buffer, { start: at, end: 777 + 5000 });
    assert.equal(cut - at, size);
    at = cut;
  }
  assert.equal(chunker.find(buffer, { start: at, end: 777 + 5000 }), -1);
  assert.equal(chunker.pendingBytes, whole.at(-1));
});

Deno.test("Chunker keeps to its sizes, also on bytes that are all the same", () => {
  for (const bytes of [pseudoRandom(100_000, 5), new Uint8Array(10_000), new Uint8Array(0)]) {
    const sizes = chunkSizes(bytes);
    for (const size of sizes.slice(0, -1)) assert.ok(size > SIZES.min && size <= SIZES.max);
    assert.equal(sizes.reduce((sum, size) => sum + size, 0), bytes.length);
  }
});

Deno.test("Chunker finds the same chunks behind an inserted byte", () => {
  const seed = drawSeed();
  const bytes = pseudoRandom(200_000, seed);
  const before = new Set(chunkNames(bytes, SIZES));
  const after = chunkNames(concatBytes(Uint8Array.of(1), bytes), SIZES);
  const changed = after.filter((name) => !before.has(name)).length;
  assert.ok(before.size > 500, `${before.size} chunks`);
  assert.ok(changed <= 10, `${changed} of ${after.length} chunks changed`);
});

Deno.test("FILE_CHUNKS gives about 1 MiB, never more than a record holds", () => {
  const sizes = chunkSizes(pseudoRandom(48 * 1024 * 1024, 6), { sizes: FILE_CHUNKS });
  const average = 48 / sizes.length;
  assert.ok(average > 0.75 && average < 1.6, `${average} MiB`);
  assert.ok(Math.max(...sizes) <= FILE_CHUNKS.max);
});

Deno.test("Chunker cuts elsewhere with another write secret", () => {
  const bytes = pseudoRandom(50_000, 8);
  const other = new Chunker(deriveWriteKeys(new Uint8Array(32).fill(8)).chunkTable, SIZES);
  const first = other.find(bytes, { start: 0, end: bytes.length });
  const second = other.find(bytes, { start: first, end: bytes.length });
  assert.notDeepEqual([first, second - first], chunkSizes(bytes).slice(0, 2));
});
