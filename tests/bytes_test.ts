import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ByteReader,
  ByteWriter,
  concatBytes,
  decodeHex,
  equalBytes,
  TruncatedError,
} from "../lib/bytes.ts";
import { check } from "./property.ts";

Deno.test("ByteReader reads what ByteWriter writes", () => {
  const message = fc.record({
    a: fc.nat({ max: 0xff }),
    b: fc.nat({ max: 0xffff }),
    c: fc.nat({ max: 0xffffffff }),
    d: fc.maxSafeNat(),
    e: fc.uint8Array({ maxLength: 50 }),
  });
  check(fc.property(message, ({ a, b, c, d, e }) => {
    const bytes = new ByteWriter(15 + e.length).u8(a).u16(b).u32(c).u64(d).bytes(e).done();
    const reader = new ByteReader(bytes);
    assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64()], [a, b, c, d]);
    assert.deepEqual(new Uint8Array(reader.rest()), new Uint8Array(e));
    reader.end();
  }));
});

Deno.test("numbers are little-endian", () => {
  const bytes = new ByteWriter(15).u8(1).u16(0x0203).u32(0x04050607).u64(0x08090a0b0c0d).done();
  assert.equal(bytes.toHex(), "01" + "0302" + "07060504" + "0d0c0b0a09080000");
});

Deno.test("ByteReader never reads past the end, nor leaves bytes unnoticed", () => {
  const reader = new ByteReader(new Uint8Array(3));
  assert.throws(() => reader.u32(), TruncatedError);
  assert.equal(reader.u16(), 0);
  assert.throws(() => reader.end(), TruncatedError);
  assert.throws(() => reader.bytes(2), TruncatedError);
  assert.throws(() => reader.bytes(-1), RangeError);
});

Deno.test("ByteReader refuses numbers that are not safe", () => {
  assert.throws(() => new ByteReader(new Uint8Array(8).fill(0xff)).u64(), RangeError);
});

Deno.test("ByteWriter refuses what does not fit", () => {
  assert.throws(() => new ByteWriter(1).u8(256), RangeError);
  assert.throws(() => new ByteWriter(1).u16(1), RangeError);
  assert.throws(() => new ByteWriter(2).u8(1).done(), RangeError);
  assert.throws(() => new ByteWriter(4).u32(-1), RangeError);
  assert.throws(() => new ByteWriter(4).u32(1.5), RangeError);
});

Deno.test("concatBytes(), equalBytes() and decodeHex() do what they say", () => {
  const joined = concatBytes(new Uint8Array([1]), new Uint8Array(0), new Uint8Array([2, 3]));
  assert.ok(equalBytes(joined, decodeHex("010203", 3)));
  assert.ok(!equalBytes(joined, decodeHex("010204", 3)));
  assert.ok(!equalBytes(joined, decodeHex("0102", 2)));
  for (const text of ["0102", "01020", "01020g", "0102030"]) {
    assert.throws(() => decodeHex(text, 3), SyntaxError, text);
  }
});
