import assert from "node:assert/strict";
import fc from "fast-check";
import { comparePaths, findPathFault, isWithin } from "../../lib/vault/path_order.ts";
import { check } from "../property.ts";

const name = fc.string({
  unit: fc.constantFrom("a", "b", "-", " ", "é", "\uffee", "😀", "!"),
  minLength: 1,
  maxLength: 4,
});
const path = fc.array(name, { maxLength: 4 }).map((names) => "/" + names.join("/"));

/** The definition: UTF-8 bytes, with `/` as byte 0. */
function compareBytes(a: string, b: string): number {
  const [bytesA, bytesB] = [a, b].map((text) => {
    return new TextEncoder().encode(text).map((byte) => byte === 0x2f ? 0 : byte);
  });
  for (let i = 0; i < Math.min(bytesA.length, bytesB.length); i++) {
    if (bytesA[i] !== bytesB[i]) return bytesA[i] - bytesB[i];
  }
  return bytesA.length - bytesB.length;
}

Deno.test("comparePaths() is the order of UTF-8 bytes with / first", () => {
  check(
    fc.property(path, path, (a, b) => {
      assert.equal(Math.sign(comparePaths(a, b)), Math.sign(compareBytes(a, b)));
    }),
    2000,
  );
});

Deno.test("a folder is directly followed by its contents", () => {
  check(fc.property(fc.array(path, { maxLength: 40 }), path, (paths, folder) => {
    const sorted = [...paths, folder].sort(comparePaths);
    const inside = sorted.map((path) => isWithin(path, folder));
    const [first, last] = [inside.indexOf(true), inside.lastIndexOf(true)];
    assert.equal(sorted[first], folder);
    assert.ok(inside.slice(first, last + 1).every(Boolean));
  }));
});

Deno.test("comparePaths() on well-known cases", () => {
  const sorted = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b.c",
    "/a b",
    "/a!",
    "/a-b",
    "/ab",
    "/é",
    "/\uffee",
    "/😀",
  ];
  assert.deepEqual([...sorted].reverse().sort(comparePaths), sorted);
});

Deno.test("findPathFault() knows paths that must not be restored", () => {
  for (
    const bad of [
      "",
      "a",
      "/a/../b",
      "/..",
      "/a/./b",
      "/a//b",
      "/a/",
      "/a\0",
      "/\ud800",
      "/" + "a".repeat(32768),
    ]
  ) {
    assert.ok(findPathFault(bad), JSON.stringify(bad));
  }
  for (const good of ["/", "/a", "/...", "/a b/é", "/.hidden"]) {
    assert.equal(findPathFault(good), undefined);
  }
});
