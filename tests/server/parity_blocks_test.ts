/** Parity files: their bytes, and what a spoiled pack is repaired from, and what not. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { equalBytes } from "../../lib/bytes.ts";
import { DamagedError } from "../../lib/errors.ts";
import { STORE } from "../../lib/limits.ts";
import { findWrongBlocks, makeParity, recoverBlocks } from "../../lib/server/parity_blocks.ts";
import {
  blockAt,
  checkOf,
  countBlocks,
  decodeParity,
  encodeParity,
  PARITY_BLOCK_BYTES,
  parityShape,
} from "../../lib/server/parity_format.ts";
import { checkAsync } from "../property.ts";
import { random } from "./fixture.ts";

const vaultId = new Uint8Array(32).fill(7);
const name = "01a20d957943-62770011";
const pause = () => Promise.resolve();
const MIB = 2 ** 20;

const make = (pack: Uint8Array, percent = 5) => makeParity(pack, { vaultId, name, percent, pause });

/** Repairs what was spoiled. Undefined if that cannot be. */
async function repair(spoiled: Uint8Array, file: Uint8Array): Promise<Uint8Array | undefined> {
  const parity = decodeParity(file);
  const pack = new Uint8Array(parity.head.packBytes);
  pack.set(spoiled.subarray(0, pack.length));
  const wrong = await findWrongBlocks(pack, parity, pause);
  return await recoverBlocks(pack, { ...parity, wrong, pause }) ? pack : undefined;
}

Deno.test("a parity file has its bytes where docs/store.md says", async () => {
  const pack = random(2 * PARITY_BLOCK_BYTES + 100); // three blocks, one stripe
  const file = await make(pack);
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const head = file.subarray(0, 135 + 5 * 8);
  const text = (from: number, to: number) => new TextDecoder().decode(file.subarray(from, to));
  const view = new DataView(file.buffer);
  assert.deepEqual([text(0, 8), file[8], file[41], text(42, 63)], ["hfparit\n", 1, 21, name]);
  assert.equal(file.subarray(9, 41).toHex(), vaultId.toHex());
  assert.equal(view.getUint32(63, true), pack.length);
  assert.equal(file.subarray(67, 99).toHex(), sha256(pack));
  assert.deepEqual([file[99], file[100], view.getUint16(101, true)], [3, 2, 1]);
  const blocks = file.subarray(head.length, head.length + 2 * PARITY_BLOCK_BYTES);
  const all = [0, 1, 2].map((i) => pack.subarray(4096 * i, 4096 * (i + 1)))
    .concat([0, 1].map((j) => blocks.subarray(4096 * j, 4096 * (j + 1))));
  for (const [i, block] of all.entries()) {
    const check = file.subarray(103 + 8 * i, 103 + 8 * (i + 1)).toHex();
    assert.equal(check, sha256(block).slice(0, 16), `check ${i}`);
  }
  assert.equal(file.subarray(143, 175).toHex(), sha256(file.subarray(0, 143)));
  assert.equal(
    file.subarray(-12).toHex(),
    "af000000" + new TextEncoder().encode("hfpaend\n").toHex(),
  );
  assert.equal(file.subarray(-12 - head.length, -12).toHex(), head.toHex());
  assert.equal(file.length, 2 * head.length + blocks.length + 12);
});

Deno.test("packs of all sizes are cut so that the code can be had and is as large as was asked", () => {
  for (const percent of [1, 2, 5, 10, 33, 50]) {
    for (let bytes = 1; bytes <= STORE.packFileBytesMax; bytes = Math.ceil(bytes * 1.37)) {
      const { dataCount, parityCount, stripes } = parityShape(bytes, percent);
      const blocks = countBlocks(bytes);
      const where = `${bytes} bytes, ${percent} %`;
      assert.ok(dataCount + parityCount <= 256 && dataCount <= 255, where);
      assert.ok(dataCount * stripes >= blocks && (dataCount - 1) * stripes < blocks, where);
      assert.ok(parityCount >= 2 && parityCount * stripes >= blocks * percent / 100, where);
      if (bytes > 4 * MIB) assert.ok(parityCount * stripes <= blocks * percent / 100 * 1.2, where);
    }
  }
});

Deno.test("what is wrong up to the size of the parity is put right: bits, zeros, a lost end, anywhere", async () => {
  const cases = fc.record({
    bytes: fc.integer({ min: 1, max: 3 * MIB }),
    percent: fc.constantFrom(1, 5, 20, 50),
    kind: fc.constantFrom("bit", "zeros", "end", "beginning", "all over"),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  });
  await checkAsync(
    fc.asyncProperty(cases, async ({ bytes, percent, kind, at }) => {
      const pack = random(bytes);
      const file = await make(pack, percent);
      const { stripes, parityCount } = parityShape(bytes, percent);
      const most = stripes * parityCount * PARITY_BLOCK_BYTES;
      let spoiled = pack.slice();
      const place = Math.floor(at * bytes);
      if (kind === "bit") spoiled[place] ^= 1 << place % 8;
      if (kind === "zeros") spoiled.fill(0, place, place + 4096);
      // Somewhere in a block: one more is touched than its bytes fill.
      if (kind === "end") spoiled = spoiled.subarray(0, Math.max(bytes - most + 4096, 0));
      if (kind === "beginning") spoiled.fill(0, 0, most);
      if (kind === "all over") {
        for (let block = 0; block < stripes * parityCount; block++) {
          const far = (block % stripes) + Math.floor(block / stripes) * stripes * 2;
          if (far < countBlocks(bytes)) spoiled[far * PARITY_BLOCK_BYTES] ^= 1;
        }
      }
      assertSame(await repair(spoiled, file), pack);
    }),
    60,
  );
});

Deno.test("a pack of some size outlives the loss of any run of a twentieth", async () => {
  const pack = random(16 * MIB + 70_000);
  const file = await make(pack);
  assert.ok(file.length < pack.length * 0.06, `${file.length} bytes`);
  const run = Math.floor(pack.length / 20) - PARITY_BLOCK_BYTES; // on whatever border it begins
  for (const at of [0, 12_345, pack.length - run]) {
    const spoiled = pack.slice().fill(0, at, at + run);
    assertSame(await repair(spoiled, file), pack, `at ${at}`);
  }
});

Deno.test("more damage than parity is not repaired, and no other bytes are taken for right", async () => {
  const pack = random(MIB);
  const file = await make(pack);
  const { stripes, parityCount } = parityShape(pack.length, 5);
  const spoiled = pack.slice();
  for (let i = 0; i <= parityCount; i++) spoiled[i * stripes * PARITY_BLOCK_BYTES] ^= 1;
  assert.ok(await repair(spoiled, file) === undefined);
  assert.ok(await repair(random(MIB), file) === undefined);
  assert.ok(await repair(new Uint8Array(0), file) === undefined);
});

Deno.test("parity outlives its own rot: each head for the other, each block for those of its stripe", async () => {
  const pack = random(3 * MIB);
  const file = await make(pack);
  const headBytes = (file.length - 12 - decodeParity(file).blocks.length) / 2;
  const spoiled = pack.slice().fill(0, 5000, 20_000);
  const { stripes, parityCount } = parityShape(pack.length, 5);
  const rots: Record<string, (file: Uint8Array<ArrayBuffer>) => Uint8Array> = {
    "the first head": (file) => file.fill(0, 0, 4096),
    "one bit of the first head": (file) => flip(file, headBytes - 40),
    "the last head": (file) => file.fill(0, file.length - headBytes),
    "its end": (file) => file.subarray(0, file.length - headBytes - 5 * PARITY_BLOCK_BYTES),
    "a page of it": (file) => file.fill(0, 40_000, 44_096),
    "a bit of a block": (file) => flip(file, headBytes + 2 * PARITY_BLOCK_BYTES + 17),
  };
  assert.equal(decodeParity(file).isSound, true);
  for (const [what, rot] of Object.entries(rots)) {
    const rotten = rot(file.slice());
    const parity = decodeParity(rotten);
    const wrong = await findWrongBlocks(pack.slice(), parity, pause);
    assert.ok(!parity.isSound || wrong.parity.size > 0, `${what} is noticed`);
    assert.equal(wrong.data.size, 0, what);
    assertSame(await repair(spoiled, rotten), pack, what);
  }
  // With all but one shard of parity gone, one block of each stripe can still be had.
  const shard = stripes * PARITY_BLOCK_BYTES;
  const one = file.slice().fill(0, headBytes, headBytes + (parityCount - 1) * shard);
  assertSame(await repair(pack.slice().fill(0, shard, 2 * shard), one), pack);
  assert.ok(await repair(pack.slice().fill(0, shard, 2 * shard + 1), one) === undefined);
});

Deno.test("parity that has its checks right and is not of this pack repairs nothing", async () => {
  const pack = random(100_000);
  const { head, blocks } = decodeParity(await make(pack));
  blocks[0] ^= 1;
  head.checks.set(checkOf(blockAt(blocks, 0)), countBlocks(pack.length) * 8);
  assert.ok(await repair(pack.slice().fill(0, 0, 100), encodeParity(head, blocks)) === undefined);
});

Deno.test("decodeParity() takes no other version", async () => {
  const file = await make(random(100));
  const headBytes = (file.length - 12 - decodeParity(file).blocks.length) / 2;
  for (const at of [0, file.length - 12 - headBytes]) {
    file[at + 8] = 2;
    const covered = file.subarray(at, at + headBytes - 32);
    file.set(createHash("sha256").update(covered).digest(), at + headBytes - 32);
  }
  assert.throws(() => decodeParity(file), DamagedError);
});

Deno.test("decodeParity() takes no head that was changed, cut or made up", async () => {
  const file = await make(random(9000));
  const headBytes = (file.length - 12 - decodeParity(file).blocks.length) / 2;
  for (let at = 0; at < headBytes; at++) {
    const both = flip(flip(file.slice(), at), file.length - 12 - headBytes + at);
    assert.throws(() => decodeParity(both), DamagedError, `byte ${at}`);
  }
  for (let size = 0; size < headBytes; size++) {
    assert.throws(() => decodeParity(file.subarray(0, size)), DamagedError, `${size} bytes`);
  }
  for (let size = 0; size < headBytes + 12; size++) {
    assert.throws(() => decodeParity(file.subarray(file.length - size)), DamagedError);
  }
});

/** Without bytes in the message: it would take all memory. */
function assertSame(found: Uint8Array | undefined, wanted: Uint8Array, what = ""): void {
  assert.ok(found !== undefined, `${what} not repaired`);
  assert.ok(equalBytes(found, wanted), `${what} repaired to something else`);
}

function flip(bytes: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
  bytes[at] ^= 1;
  return bytes;
}
