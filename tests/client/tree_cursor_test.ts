import assert from "node:assert/strict";
import fc from "fast-check";
import { TreeCursor } from "../../lib/client/tree_cursor.ts";
import { diffTrees } from "../../lib/client/tree_diff.ts";
import { readAhead } from "../../lib/client/read_ahead.ts";
import { comparePaths, isWithin } from "../../lib/vault/path_order.ts";
import { TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { checkAsync } from "../property.ts";
import { entryOf, PlainStore, pseudoRandom } from "../vault/fixture.ts";

const pathTable = new Uint32Array(pseudoRandom(1024, 3).buffer);

/** 9000 files in 90 folders: several segments below index records. */
const PATHS = ["/d"];
for (let i = 0; i < 90; i++) {
  PATHS.push(`/d/${i}`);
  for (let j = 0; j < 100; j++) PATHS.push(`/d/${i}/${j}-${"x".repeat(j)}`);
}
PATHS.sort(comparePaths);

async function build(store: PlainStore, paths: string[], changed = new Set<string>()) {
  const builder = new TreeBuilder({ pathTable, emit: store.emit });
  for (const path of paths) {
    await builder.add(entryOf(path, changed.has(path) ? { mode: 0o600 } : {}));
  }
  return await builder.finish();
}

Deno.test("TreeCursor gives every entry in order, also with records read ahead", async () => {
  const store = new PlainStore();
  const tree = await build(store, PATHS);
  assert.ok(tree.level >= 1);
  for (const load of [store.load, readAhead(store.load)]) {
    const cursor = new TreeCursor(tree, load);
    const seen: string[] = [];
    for (let entry; (entry = await cursor.next()) !== undefined;) seen.push(entry.path);
    assert.deepEqual(seen, PATHS);
  }
});

Deno.test("TreeCursor.seek() and passFolder() land where a plain search does", async () => {
  const store = new PlainStore();
  const tree = await build(store, PATHS);
  const path = fc.oneof(
    fc.constantFrom(...PATHS, "/", "/a", "/e"),
    fc.nat(95).map((i) => `/d/${i}`),
    fc.tuple(fc.nat(95), fc.nat(120)).map(([i, j]) => `/d/${i}/${j}`),
  );
  await checkAsync(
    fc.asyncProperty(path, path, async (start, folder) => {
      const cursor = new TreeCursor(tree, store.load);
      await cursor.seek(start);
      const rest = PATHS.filter((path) => comparePaths(path, start) >= 0);
      if (rest.length > 0 && isWithin(rest[0], folder)) {
        await cursor.passFolder(folder);
        while (rest.length > 0 && isWithin(rest[0], folder)) rest.shift();
      }
      assert.equal((await cursor.next())?.path, rest[0]);
      assert.equal((await cursor.next())?.path, rest[1]);
    }),
    100,
  );
});

Deno.test("TreeCursor.passFolder() does not load what it passes", async () => {
  const store = new PlainStore();
  const tree = await build(store, PATHS);
  let loads = 0;
  const cursor = new TreeCursor(tree, (reference) => {
    loads++;
    return store.load(reference);
  });
  assert.equal((await cursor.next())?.path, "/d");
  await cursor.passFolder("/d");
  assert.equal(await cursor.next(), undefined);
  assert.ok(loads <= 2 * tree.level + 2, `${loads} loads`);
});

Deno.test("diffTrees() finds what a plain comparison finds, and opens little", async () => {
  const store = new PlainStore();
  const before = await build(store, PATHS);
  const index = fc.array(fc.nat(PATHS.length - 1), { maxLength: 4 });
  await checkAsync(
    fc.asyncProperty(index, index, async (removed, changed) => {
      const gone = new Set(removed.map((i) => PATHS[i]));
      const altered = new Set(changed.map((i) => PATHS[i]).filter((path) => !gone.has(path)));
      const kept = PATHS.filter((path) => !gone.has(path));
      const after = await build(store, [...kept, "/z"], altered);
      let loads = 0;
      const load: typeof store.load = (reference) => {
        loads++;
        return store.load(reference);
      };
      const found: string[] = [];
      for await (
        const { kind, before: a, after: b } of diffTrees(
          new TreeCursor(before, load),
          new TreeCursor(after, load),
        )
      ) {
        found.push(`${kind} ${(b ?? a)!.path}`);
      }
      const expected = PATHS.filter((path) => gone.has(path) || altered.has(path))
        .map((path) => `${gone.has(path) ? "-" : "U"} ${path}`);
      assert.deepEqual(found, [...expected, "+ /z"]);
      assert.ok(loads < 40, `${loads} loads`);
    }),
    10,
  );
});
