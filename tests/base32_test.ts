import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBase32, encodeBase32 } from "../lib/base32.ts";
import { check } from "./property.ts";

// RFC 4648, section 10, in lower case and without padding.
const VECTORS = [
  ["", ""],
  ["f", "my"],
  ["fo", "mzxq"],
  ["foo", "mzxw6"],
  ["foob", "mzxw6yq"],
  ["fooba", "mzxw6ytb"],
  ["foobar", "mzxw6ytboi"],
];

for (const [plain, encoded] of VECTORS) {
  Deno.test(`encodeBase32() of "${plain}" is that of RFC 4648`, () => {
    const bytes = new TextEncoder().encode(plain);
    assert.equal(encodeBase32(bytes), encoded);
    assert.deepEqual(decodeBase32(encoded.toUpperCase(), bytes.length), bytes);
  });
}

Deno.test("decodeBase32() is the opposite of encodeBase32()", () => {
  check(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    assert.deepEqual(decodeBase32(encodeBase32(bytes), bytes.length), bytes);
  }));
});

Deno.test("decodeBase32() rejects other sizes, characters and spare bits", () => {
  assert.throws(() => decodeBase32("mzxw6", 4), SyntaxError);
  assert.throws(() => decodeBase32("mzxw6", 2), SyntaxError);
  assert.throws(() => decodeBase32("mzxw1", 3), SyntaxError);
  assert.throws(() => decodeBase32("mz", 1), SyntaxError);
});
