import assert from "node:assert/strict";
import { concatBytes } from "../../lib/bytes.ts";
import type { PackEntry } from "../../lib/db_records.ts";
import { DamagedError } from "../../lib/errors.ts";
import { RecordType } from "../../lib/record.ts";
import {
  decodePackTrailer,
  encodePackTrailer,
  PACK_HEADER_BYTES,
  PACK_PREFIX_BYTES,
} from "../../lib/server/pack_format.ts";
import { random } from "./fixture.ts";

const vaultId = new Uint8Array(32).fill(7);
const sizes = [20, 4096, 333];
const entries = entriesOf(sizes);
const trailer = encodePackTrailer(vaultId, entries);
const packBytes = endOf(entries) + trailer.length;

Deno.test("decodePackTrailer() gives the entries back", () => {
  assert.deepEqual(decodePackTrailer(trailer, { vaultId, packBytes }), entries);
  const empty = encodePackTrailer(vaultId, []);
  const bytes = PACK_HEADER_BYTES + empty.length;
  assert.deepEqual(decodePackTrailer(empty, { vaultId, packBytes: bytes }), []);
});

Deno.test("decodePackTrailer() rejects every truncation, and more bytes", () => {
  for (let size = 0; size < trailer.length; size++) {
    // A pack that was cut, and one that lost its beginning.
    assert.throws(
      () => decodePackTrailer(trailer.subarray(0, size), { vaultId, packBytes }),
      DamagedError,
    );
    assert.throws(
      () => decodePackTrailer(trailer.subarray(trailer.length - size), { vaultId, packBytes }),
      DamagedError,
    );
  }
  const longer = concatBytes(new Uint8Array(1), trailer);
  assert.throws(() => decodePackTrailer(longer, { vaultId, packBytes }), DamagedError);
});

Deno.test("decodePackTrailer() rejects every flipped byte", () => {
  for (let i = 0; i < trailer.length; i++) {
    for (const mask of [1, 0x80, 0xff]) {
      const flipped = trailer.slice();
      flipped[i] ^= mask;
      assert.throws(
        () => decodePackTrailer(flipped, { vaultId, packBytes }),
        DamagedError,
        `byte ${i}`,
      );
    }
  }
});

Deno.test("decodePackTrailer() rejects another vault, and a file of another size", () => {
  const other = new Uint8Array(32).fill(8);
  assert.throws(() => decodePackTrailer(trailer, { vaultId: other, packBytes }), DamagedError);
  for (const bytes of [packBytes - 1, packBytes + 1]) {
    assert.throws(() => decodePackTrailer(trailer, { vaultId, packBytes: bytes }), DamagedError);
  }
});

Deno.test("decodePackTrailer() rejects entries that overlap, with the right hash", () => {
  const overlapping = entriesOf(sizes);
  overlapping[1].offset -= 1;
  const bytes = encodePackTrailer(vaultId, overlapping);
  assert.throws(() => decodePackTrailer(bytes, { vaultId, packBytes }), /entry 1/);
});

function entriesOf(sizes: number[]): PackEntry[] {
  let offset = PACK_HEADER_BYTES;
  return sizes.map((size) => {
    offset += PACK_PREFIX_BYTES;
    const entry = { id: random(32), type: RecordType.DATA, offset, size };
    offset += size;
    return entry;
  });
}

function endOf(entries: PackEntry[]): number {
  const last = entries[entries.length - 1];
  return last.offset + last.size;
}
