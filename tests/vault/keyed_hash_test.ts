import assert from "node:assert/strict";
import fc from "fast-check";
import { keyedHash, keyedTextHash } from "../../lib/vault/keyed_hash.ts";
import { check } from "../property.ts";
import cuts from "../vectors/cuts.json" with { type: "json" };

const table = Uint32Array.from({ length: 256 }, (_, i) => Math.imul(i + 1, 0x85ebca6b));

Deno.test("the hash of a text is that of its bytes in UTF-8", () => {
  const unit = fc.constantFrom("a", "/", "\x7f", "\x80", "é", "\uffee", "😀", "\0");
  const text = fc.oneof(fc.string({ unit }), fc.string(), fc.constantFrom(...textsOfVectors()));
  check(
    fc.property(text, fc.nat(255), (text, seed) => {
      const bytes = new TextEncoder().encode(text);
      assert.equal(keyedTextHash(table, seed, text), keyedHash(table, seed, bytes));
    }),
    2000,
  );
});

function textsOfVectors(): string[] {
  return cuts.keyedHash.map(([path]) => String(path));
}
