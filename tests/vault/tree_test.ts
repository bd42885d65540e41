import assert from "node:assert/strict";
import fc from "fast-check";
import { DamagedError } from "../../lib/errors.ts";
import { VAULT } from "../../lib/limits.ts";
import { RecordType } from "../../lib/record.ts";
import { type Entry, type Extent } from "../../lib/vault/entry.ts";
import { ContentsBuilder } from "../../lib/vault/contents_builder.ts";
import { decodeIndex } from "../../lib/vault/index_record.ts";
import { comparePaths } from "../../lib/vault/path_order.ts";
import type { RecordContent } from "../../lib/vault/seal.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import { type Tree, TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { decodeSegment, findEntry, readExtents, walkEntries } from "../../lib/vault/tree_reader.ts";
import { check, checkAsync } from "../property.ts";
import { entryOf, PlainStore, referenceOf } from "./fixture.ts";

const { pathTable } = deriveWriteKeys(new Uint8Array(32).fill(1));

async function build(entries: Iterable<Entry>, store = new PlainStore()): Promise<Tree> {
  const builder = new TreeBuilder({ pathTable, emit: store.emit });
  for (const entry of entries) await builder.add(entry);
  return await builder.finish();
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Folders of 50 files, with contents in records of about 20 files, in two sessions. */
function* manyEntries(count: number): Generator<Entry> {
  yield entryOf("/", { type: "dir" });
  for (let i = 0; i < count; i++) {
    const folder = `/folder${String(Math.floor(i / 50)).padStart(6, "0")}`;
    if (i % 50 === 0) yield entryOf(folder, { type: "dir" });
    const reference = referenceOf(Math.floor(i / 20), Math.floor(i / 5000));
    const extents = [{ reference, offset: (i % 20) * 100, length: 100 }];
    yield entryOf(`${folder}/file${String(i).padStart(8, "0")}`, { size: 100, extents, inode: i });
  }
}

Deno.test("a tree of any entries is read as it was built", async () => {
  const name = fc.string({
    unit: fc.constantFrom("a", "b", "\n", '"', "é", "😀"),
    minLength: 1,
    maxLength: 3,
  });
  const path = fc.array(name, { maxLength: 4 }).map((names) => "/" + names.join("/"));
  const number = fc.nat({ max: 0o7777 });
  const fields = fc.record({
    path,
    mode: number,
    uid: number,
    inode: number,
    mtimeMs: fc.integer(),
  });
  const extent = fc.record({
    data: fc.nat({ max: 9 }),
    offset: number,
    length: fc.integer({ min: 1, max: 99 }),
  });
  const file = fc.record({
    fields,
    extents: fc.array(extent, { maxLength: 5 }),
    type: fc.nat({ max: 2 }),
  });
  await checkAsync(
    fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 30 }), async (files) => {
      const entries = new Map<string, Entry>();
      for (const { fields, extents, type } of files) {
        const { path, ...rest } = fields;
        if (type === 1) entries.set(path, entryOf(path, { ...rest, type: "dir" }));
        else if (type === 2) {
          entries.set(path, entryOf(path, { ...rest, type: "symlink", target: "x\n" }));
        } else {
          const size = extents.reduce((sum, { length }) => sum + length, 0);
          const parts = extents.map(({ data, offset, length }): Extent => {
            if (data === 0) return { offset: 0, length };
            return { reference: referenceOf(data, data % 2), offset, length };
          });
          const contents = parts.length > 0 ? { extents: parts } : {};
          entries.set(path, entryOf(path, { ...rest, size, ...contents }));
        }
      }
      const sorted = [...entries.values()].sort((a, b) => comparePaths(a.path, b.path));
      const store = new PlainStore();
      const tree = await build(sorted, store);
      assert.deepEqual(await collect(walkEntries(tree, store)), sorted);
      assert.equal(tree.totals.entries, sorted.length);
    }),
  );
});

Deno.test("a large tree: order, totals, levels, links, and every path is found", async () => {
  const store = new PlainStore();
  const tree = await build(manyEntries(20_000), store);
  assert.ok(tree.level >= 1);
  assert.deepEqual(tree.totals, { entries: 20_401, files: 20_000, bytes: 2_000_000 });
  const expected = manyEntries(20_000);
  for await (const entry of walkEntries(tree, store)) {
    assert.deepEqual(entry, expected.next().value);
  }
  assert.ok(expected.next().done);
  for (const { links, type } of store.records.values()) {
    assert.ok(links.length <= VAULT.linksMax);
    assert.equal(new Set(links.map((link) => link.toHex())).size, links.length);
    if (type === RecordType.SEGMENT) assert.ok(links.length > 1);
  }
  for (
    const path of ["/", "/folder000000", "/folder000399/file00019999", "/folder000123/file00006150"]
  ) {
    assert.equal((await findEntry(tree, { load: store.load, path }))?.path, path);
  }
  for (const path of ["/A", "/folder000123/x", "/zzz"]) {
    assert.equal(await findEntry(tree, { load: store.load, path }), undefined);
  }
});

Deno.test("walkEntries() of a folder reads only what it needs", async () => {
  const store = new PlainStore();
  const tree = await build(manyEntries(20_000), store);
  let loaded = 0;
  const load: typeof store.load = (reference) => (loaded++, store.load(reference));
  const entries = await collect(walkEntries(tree, { load, within: "/folder000200" }));
  assert.equal(entries.length, 51);
  assert.equal(entries[0].path, "/folder000200");
  assert.ok(loaded <= tree.level + 2, `${loaded} records`);
});

Deno.test("several levels of index records work, and memory holds one record of each", async () => {
  const store = new PlainStore();
  // Long names, so that records end early and there are many of them.
  function* entries() {
    for (let i = 0; i < 4000; i++) {
      yield entryOf(`/${String(i).padStart(6, "0")}${"x".repeat(20_000)}`);
    }
  }
  const tree = await build(entries(), store);
  assert.ok(tree.level >= 2, `level ${tree.level}`);
  let count = 0;
  for await (const _ of walkEntries(tree, store)) count++;
  assert.equal(count, 4000);
});

Deno.test("an entry added at the front leaves nearly all segments as they are", async () => {
  const store = new PlainStore();
  await build(manyEntries(20_000), store);
  const before = store.records.size;
  function* changed() {
    for (const entry of manyEntries(20_000)) {
      yield entry;
      if (entry.path === "/") yield entryOf("/a new file");
    }
  }
  await build(changed(), store);
  assert.ok(before > 10, `${before} records`);
  assert.ok(
    store.records.size - before <= 4,
    `${store.records.size - before} of ${before} are new`,
  );
});

Deno.test("TreeBuilder refuses entries out of order, bad ones, and none at all", async () => {
  await assert.rejects(build([]), RangeError);
  await assert.rejects(build([entryOf("/b"), entryOf("/a")]), /order/);
  await assert.rejects(build([entryOf("/a"), entryOf("/a")]), /order/);
  await assert.rejects(build([entryOf("/a/../b")]), RangeError);
  await assert.rejects(build([entryOf("/a", { size: 1 })]), /extents of 0 bytes/);
  await assert.rejects(build([entryOf("/a", { mtimeMs: 1.5 })]), RangeError);
});

Deno.test("links stay within bounds when every extent has its own record and session", async () => {
  const store = new PlainStore();
  function* entries() {
    for (let i = 0; i < 30; i++) {
      const extents = Array.from({ length: 1000 }, (_, n) => {
        return { reference: referenceOf(i * 1000 + n, i * 1000 + n), offset: 0, length: 1 };
      });
      yield entryOf(`/${String(i).padStart(3, "0")}`, { size: 1000, extents });
    }
  }
  const tree = await build(entries(), store);
  for (const { links } of store.records.values()) assert.ok(links.length <= VAULT.linksMax);
  assert.equal((await collect(walkEntries(tree, store))).length, 30);
});

Deno.test("where an entry's references do not fit any more, the record before it comes first", async () => {
  const store = new PlainStore();
  let underWay = 0;
  const builder = new TreeBuilder({
    pathTable,
    emit: async (content) => {
      assert.equal(underWay++, 0, "two records at a time");
      await new Promise((resolve) => setTimeout(resolve, 0));
      underWay--;
      return await store.emit(content);
    },
  });
  const extents = (entry: number) =>
    Array.from({ length: VAULT.entryExtentsMax }, (_, i): Extent => {
      return { reference: referenceOf(entry * VAULT.entryExtentsMax + i), offset: 0, length: 1 };
    });
  const paths = Array.from({ length: 30 }, (_, i) => `/${i + 10}`);
  for (const [i, path] of paths.entries()) {
    const closing = builder.add(entryOf(path, { size: 1000, extents: extents(i) }));
    if (closing === undefined) continue;
    await closing;
    assert.equal(underWay, 0);
  }
  const tree = await builder.finish();
  assert.ok(tree.level > 0);
  const entries = await collect(walkEntries(tree, { load: store.load }));
  assert.deepEqual(entries.map(({ path }) => path), paths);
});

Deno.test("a file with very many extents has lists, which change little at a time", async () => {
  const store = new PlainStore();
  const extents = Array.from({ length: 20_000 }, (_, n): Extent => {
    return n % 100 === 99
      ? { offset: 0, length: 4096 }
      : { reference: referenceOf(n), offset: 1, length: 1000 + n };
  });
  async function contentsOf(extents: Extent[]) {
    const builder = new ContentsBuilder({ pathTable, emit: store.emit });
    for (const extent of extents) await builder.add(extent);
    return await builder.finish();
  }
  const contents = await contentsOf(extents);
  assert.ok(contents.lists!.length > 10);
  const tree = await build([entryOf("/big", contents)], store);
  const entry = await findEntry(tree, { load: store.load, path: "/big" });
  assert.deepEqual(await collect(readExtents(entry!, store.load)), extents);

  const lists = new Set(contents.lists!.map(({ reference }) => reference.id.toHex()));
  const front = { reference: referenceOf(-1), offset: 0, length: 5 };
  const changed = await contentsOf([front, ...extents]);
  const fresh = changed.lists!.filter(({ reference }) => !lists.has(reference.id.toHex()));
  assert.ok(fresh.length <= 2, `${fresh.length} lists are new`);

  const small = await contentsOf(extents.slice(0, 1000));
  assert.equal(small.extents!.length, 1000);
});

Deno.test("decodeSegment() and decodeIndex() reject what no builder makes", async () => {
  const store = new PlainStore();
  await build(manyEntries(3000), store);
  const records = [...store.records.values()];
  const segment = records.find(({ type }) => type === RecordType.SEGMENT)!;
  const index = records.find(({ type }) => type === RecordType.INDEX)!;
  const rejects = (content: RecordContent) => {
    const decode = content.type === RecordType.INDEX
      ? (c: RecordContent) => decodeIndex(c, 1)
      : decodeSegment;
    assert.throws(() => decode(content), DamagedError);
  };
  for (const record of [segment, index]) {
    const text = new TextDecoder().decode(record.plaintext);
    const changes = [
      text.slice(0, -1),
      text + "{}\n",
      text.replace('"version":1', '"version":2'),
      text.replace('"sessions":1', '"sessions":2'),
      text.replace(/"path":"[^"]*"/, '"path":"/a/../../etc"'),
      text.replace(/"path":"[^"]*"/, '"path":"/zzz"'),
      text.replace(/"path":"[^"]*"/, '"path":"/a","more":1'),
      text.replace(/\[0,"[^"]*"\]/, '[1,"AAAA"]'),
      text.replace(/\[0,"(.)/, '[9,"$1'),
      text.split("\n")[0] + "\n",
    ];
    for (const changed of changes) {
      assert.notEqual(changed, text);
      rejects({ ...record, plaintext: new TextEncoder().encode(changed) });
    }
    rejects({ ...record, links: record.links.slice(1) });
    rejects({ ...record, type: RecordType.LIST });
    rejects({ ...record, plaintext: Uint8Array.of(0xff, 10) });
    for (let size = 0; size < text.length; size += 101) {
      // Fewer entries are entries too: that none is missing is up to the id and the tag.
      if (text[size - 1] === "\n" && record === segment) continue;
      rejects({ ...record, plaintext: record.plaintext.subarray(0, size) });
    }
  }
  assert.throws(() => decodeIndex(index, 2), /level/);
});

Deno.test("decodeSegment() takes any damage as damage, never as another error", async () => {
  const store = new PlainStore();
  await build(manyEntries(40), store);
  const [segment] = store.records.values();
  check(
    fc.property(fc.nat(), fc.nat({ max: 255 }), (at, byte) => {
      const plaintext = segment.plaintext.slice();
      plaintext[at % plaintext.length] = byte;
      try {
        decodeSegment({ ...segment, plaintext });
      } catch (error) {
        assert.ok(error instanceof DamagedError, String(error));
      }
    }),
    1000,
  );
});
