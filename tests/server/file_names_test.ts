import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "../../lib/errors.ts";
import { baseName, originalName, storedName } from "../../lib/server/file_names.ts";
import { check } from "../property.ts";

const NAME = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 })
  .filter((text) => text.isWellFormed() && !/[/\\]/.test(text) && text !== "." && text !== "..");
/** Names made of what is special, where mistakes would be. */
const TRICKY = fc.string({
  unit: fc.constantFrom("%", "2", "5", "c", "C", "o", "n", ".", " ", ":", "\x01", "\x7f", "a"),
  minLength: 1,
  maxLength: 8,
}).filter((text) => text !== "." && text !== "..");

Deno.test("storedName() leaves usual names as they are", () => {
  for (
    const name of ["a.txt", "Résumé (2).pdf", ".hidden", "100%.txt", "a b", "com", "console.log"]
  ) {
    assert.equal(storedName(name), name);
  }
});

Deno.test("storedName() makes unsafe names safe", () => {
  const cases: [string, string][] = [
    ["con", "%63on"],
    ["AUX.c", "%41UX.c"],
    ["lpt1.tar.gz", "%6Cpt1.tar.gz"],
    ["a:b", "a%3Ab"],
    ["ends.", "ends%2E"],
    ["ends ", "ends%20"],
    ["a%41", "a%2541"],
    ["bell\x07", "bell%07"],
    ["\x85", "%C2%85"],
  ];
  for (const [name, stored] of cases) assert.equal(storedName(name), stored);
});

Deno.test("originalName() is the opposite of storedName(), so different names stay different", () => {
  check(
    fc.property(fc.oneof(NAME, TRICKY), (name) => {
      assert.equal(originalName(storedName(name)), name);
    }),
    2000,
  );
});

Deno.test("storedName() gives nothing that a usual file system refuses", () => {
  check(
    fc.property(fc.oneof(NAME, TRICKY), (name) => {
      const stored = storedName(name);
      // deno-lint-ignore no-control-regex -- control characters are what is looked for
      assert.doesNotMatch(stored, /[\x00-\x1f\x7f-\x9f<>:"|?*/\\]/);
      assert.doesNotMatch(stored, /[. ]$/);
      assert.doesNotMatch(stored, /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i);
    }),
    2000,
  );
});

Deno.test("storedName() refuses what is too long for a name on disk", () => {
  assert.equal(storedName("a".repeat(255)).length, 255);
  assert.throws(() => storedName("?".repeat(100)), ProtocolError);
});

Deno.test("baseName() takes the last part of paths of either kind", () => {
  const cases: [string, string][] = [
    ["a.txt", "a.txt"],
    ["/etc/passwd", "passwd"],
    ["C:\\Users\\a\\b.doc", "b.doc"],
    ["..\\../x", "x"],
    ["a/b\\c", "c"],
  ];
  for (const [path, name] of cases) assert.equal(baseName(path), name);
  for (const path of ["", ".", "..", "/", "a/", "a/..", "b\\.", "\\"]) {
    assert.throws(() => baseName(path), ProtocolError, path);
  }
});
