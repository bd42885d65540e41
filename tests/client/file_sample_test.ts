import assert from "node:assert/strict";
import fc from "fast-check";
import { drawRandom, type SampledFile, sampleFiles } from "../../lib/client/file_sample.ts";
import { DamagedError } from "../../lib/errors.ts";
import { comparePaths } from "../../lib/vault/path_order.ts";
import type { Reference } from "../../lib/vault/session.ts";
import { type Tree, TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { checkAsync } from "../property.ts";
import { entryOf, PlainStore, pseudoRandom } from "../vault/fixture.ts";

const pathTable = new Uint32Array(pseudoRandom(1024, 3).buffer);

/** Folders of so many files each. */
async function build(store: PlainStore, folders: number, files: number) {
  const builder = new TreeBuilder({ pathTable, emit: store.emit });
  const entries = [];
  for (let i = 0; i < folders; i++) {
    entries.push(entryOf(`/${i}`, { type: "dir" }), entryOf(`/${i}/l`, LINK));
    for (let j = 0; j < files; j++) entries.push(entryOf(`/${i}/${j}-${"x".repeat(j % 90)}`));
  }
  entries.sort((a, b) => comparePaths(a.path, b.path));
  for (const entry of entries) await builder.add(entry);
  const paths = entries.filter(({ type }) => type === "file").map(({ path }) => path);
  return { tree: await builder.finish(), paths };
}

const LINK = { type: "symlink", target: "x" } as const;

function sample(
  tree: Tree,
  { store, count, lost = [], isDamaged = () => false, loaded = [] }: {
    store: PlainStore;
    count: number;
    lost?: { path: string; files: number }[];
    isDamaged?: (reference: Reference) => boolean;
    loaded?: Reference[];
  },
): Promise<SampledFile[]> {
  return sampleFiles(tree, {
    ...{ count, draw: drawRandom },
    load: (reference) => {
      loaded.push(reference);
      if (isDamaged(reference)) throw new DamagedError("gone");
      return store.load(reference);
    },
    onLost: (path, { files }) => lost.push({ path, files }),
  });
}

Deno.test("sampleFiles() gives as many different files as it was asked for, in order", async () => {
  const store = new PlainStore();
  const { tree, paths } = await build(store, 40, 200);
  assert.ok(tree.level >= 1);
  await checkAsync(
    fc.asyncProperty(fc.integer({ min: 1, max: 9000 }), async (count) => {
      const drawn = (await sample(tree, { store, count })).map(({ path }) => path);
      assert.equal(drawn.length, Math.min(count, paths.length));
      const wanted = new Set(drawn);
      assert.deepEqual(drawn, paths.filter((path) => wanted.has(path)));
    }),
  );
});

Deno.test("sampleFiles() opens only records that hold a drawn file", async () => {
  const store = new PlainStore();
  const { tree } = await build(store, 200, 300);
  const loaded: Reference[] = [];
  await sample(tree, { store, count: 2, loaded });
  assert.ok(store.emitted > 30, `${store.emitted} records`);
  assert.ok(loaded.length <= 2 * (tree.level + 1), `${loaded.length} of ${store.emitted} opened`);
});

Deno.test("sampleFiles() draws every file as often as every other", async () => {
  const store = new PlainStore();
  const { tree, paths } = await build(store, 4, 5);
  const counts = new Map(paths.map((path) => [path, 0]));
  for (let i = 0; i < 4000; i++) {
    for (const { path } of await sample(tree, { store, count: 5 })) {
      counts.set(path, counts.get(path)! + 1);
    }
  }
  // 1000 each, with a standard deviation of 27.
  for (const [path, count] of counts) assert.ok(Math.abs(count - 1000) < 220, `${path}: ${count}`);
});

Deno.test("sampleFiles() tells what is lost with a record, and draws from the others", async () => {
  const store = new PlainStore();
  const { tree, paths } = await build(store, 40, 200);
  const all: Reference[] = [];
  await sample(tree, { store, count: Infinity, loaded: all });
  const segment = all.at(-2)!;
  const lost: { path: string; files: number }[] = [];
  const isDamaged = ({ id }: Reference) => id.toHex() === segment.id.toHex();
  const found = await sample(tree, { store, count: Infinity, lost, isDamaged });
  assert.equal(lost.length, 1);
  assert.equal(found.length + lost[0].files, paths.length);
  assert.ok(lost[0].files > 100 && !found.some(({ path }) => path === lost[0].path));
  // A snapshot that claims more files than it has is no good one either.
  const claims = { ...tree, totals: { ...tree.totals, files: tree.totals.files + 5 } };
  const more: { path: string; files: number }[] = [];
  await sample(claims, { store, count: Infinity, lost: more });
  assert.deepEqual(more, [{ path: "/", files: paths.length + 5 }]);
});

Deno.test("drawRandom() gives every number below its bound", () => {
  const seen = new Set<number>();
  for (let i = 0; i < 400; i++) seen.add(drawRandom(5));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4]);
  const large = 2 ** 52 + 1;
  for (let i = 0; i < 100; i++) assert.ok(drawRandom(large) < large);
});
