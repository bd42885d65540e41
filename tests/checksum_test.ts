import assert from "node:assert/strict";
import fc from "fast-check";
import { Checksum, checksum } from "../lib/checksum.ts";
import { check } from "./property.ts";

const text = (value: string) => new TextEncoder().encode(value);

// Values printed by `cksum` of GNU coreutils 9.1.
const KNOWN: [string, Uint8Array, number][] = [
  ["nothing", text(""), 4294967295],
  ["one letter", text("a"), 1220704766],
  ["the POSIX check digits", text("123456789"), 930766865],
  ["two lines", text("hello defensive\nsecond line\n"), 2866325594],
  ["zeros of a size with three length bytes", new Uint8Array(70_000), 1774371287],
];

for (const [name, bytes, expected] of KNOWN) {
  Deno.test(`checksum() of ${name} is that of cksum`, () => {
    assert.equal(checksum(bytes), expected);
  });
}

Deno.test("Checksum gives the same value however the bytes are cut", () => {
  check(fc.property(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.nat({ max: 40 }), { maxLength: 20 }),
    (bytes, cuts) => {
      const sum = new Checksum();
      let offset = 0;
      for (const cut of cuts) {
        sum.update(bytes.subarray(offset, offset + cut));
        offset = Math.min(bytes.length, offset + cut);
      }
      sum.update(bytes.subarray(offset));
      assert.equal(sum.value(), bitwiseCksum(bytes));
      assert.equal(sum.byteCount, bytes.length);
    },
  ));
});

Deno.test("checksum() sees every flipped bit of a short message", () => {
  const bytes = text("hello defensive");
  const right = checksum(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] ^= 1 << (bit & 7);
    assert.notEqual(checksum(flipped), right);
  }
});

/** The definition in POSIX.1-2017 `cksum`, one bit at a time. */
function bitwiseCksum(bytes: Uint8Array): number {
  const input = [...bytes];
  for (let n = bytes.length; n > 0; n = Math.floor(n / 256)) input.push(n & 255);
  let crc = 0;
  for (const byte of input) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  }
  return ~crc >>> 0;
}
