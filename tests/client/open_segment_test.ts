import assert from "node:assert/strict";
import fc from "fast-check";
import { EntryStamps } from "../../lib/vault/entry_stamps.ts";
import { OpenSegment } from "../../lib/client/open_segment.ts";
import { DamagedError } from "../../lib/errors.ts";
import { RecordType } from "../../lib/record.ts";
import { encodeEntry, type Entry } from "../../lib/vault/entry.ts";
import { readLine } from "../../lib/vault/entry_line.ts";
import { comparePaths } from "../../lib/vault/path_order.ts";
import { ReferenceTable } from "../../lib/vault/reference_table.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import { encodeText } from "../../lib/vault/text_record.ts";
import { type Emit, TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { decodeSegment } from "../../lib/vault/tree_reader.ts";
import { check, checkAsync } from "../property.ts";
import { entryOf, PlainStore, referenceOf } from "../vault/fixture.ts";

const { pathTable } = deriveWriteKeys(new Uint8Array(32).fill(1));

const name = fc.string({
  unit: fc.constantFrom("a", "b", "\n", '"', "\\", ",", "{", "}", '","type":"', "é", "😀"),
  minLength: 1,
  maxLength: 4,
});
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const state = {
  path: fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => "/" + names.join("/")),
  ...{ mode: fc.nat({ max: 0o7777 }), uid: count, gid: count, inode: count, nlink: count },
  mtimeMs: fc.maxSafeInteger(),
  ctimeMs: fc.maxSafeInteger(),
};
const extent = fc.record({
  reference: fc.option(fc.nat({ max: 5 }).map((n) => referenceOf(n, n % 2)), { nil: undefined }),
  offset: fc.nat({ max: 1_000_000 }),
  length: fc.integer({ min: 1, max: 1_000_000 }),
}).map(({ reference, offset, length }) => {
  return reference === undefined ? { offset: 0, length } : { reference, offset, length };
});
const file = fc.tuple(fc.record(state), fc.array(extent, { maxLength: 3 })).map(
  ([fields, extents]): Entry => {
    const size = extents.reduce((sum, { length }) => sum + length, 0);
    const entry: Entry = { type: "file", size, ...fields };
    return extents.length === 0 ? entry : { ...entry, extents };
  },
);
const folder = fc.record(state).map((fields): Entry => ({ type: "dir", size: 0, ...fields }));
const link = fc.tuple(fc.record(state), name).map(
  ([fields, target]): Entry => ({ type: "symlink", size: 0, target, ...fields }),
);
const someEntries = fc.array(fc.oneof(file, folder, link), { minLength: 1, maxLength: 20 })
  .map((entries) => {
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    return [...byPath.values()].sort((a, b) => comparePaths(a.path, b.path));
  });

Deno.test("OpenSegment knows each entry by its state, and no other; its lines make the same segment", async () => {
  await checkAsync(fc.asyncProperty(someEntries, async (entries) => {
    const store = new PlainStore();
    const segment = await open(entries, store);
    for (const opened of [segment, stamped(segment)]) {
      for (const [at, entry] of entries.entries()) {
        const contents = opened.contentsIfSame(at, bare(entry));
        assert.deepEqual(contents?.extents, entry.extents);
        for (const other of others(bare(entry))) {
          assert.equal(opened.contentsIfSame(at, other), undefined, JSON.stringify(other));
        }
      }
    }
    for (const opened of [segment, stamped(segment)]) {
      const again = new TreeBuilder({ pathTable, emit: store.emit });
      await again.addLines(opened.known(0, entries.length), opened.references);
      const { top, totals } = await again.finish();
      assert.equal(top.id.toHex(), segment.kept.reference.id.toHex());
      const files = entries.filter(({ type }) => type === "file");
      const bytes = files.reduce((sum, { size }) => sum + size, 0);
      assert.deepEqual(totals, { entries: entries.length, files: files.length, bytes });
    }
  }));
});

Deno.test("lines among others, with other references, are still the same entries", async () => {
  await checkAsync(fc.asyncProperty(someEntries, fc.boolean(), async (entries, isStamped) => {
    const store = new PlainStore();
    const segment = await open(entries, store);
    const contents: ReturnType<typeof decodeSegment>[] = [];
    const emit = (content: Parameters<typeof store.emit>[0]) => {
      if (content.type === RecordType.SEGMENT) contents.push(decodeSegment(content));
      return store.emit(content);
    };
    const opened = isStamped ? stamped(segment) : segment;
    const builder = new TreeBuilder({ pathTable, emit });
    // Comes before all others, and brings a reference: so all others have another index.
    const first = entryOf("/", {
      ...{ type: "file", size: 5 },
      extents: [{ reference: referenceOf(99, 3), offset: 0, length: 5 }],
    });
    await builder.add(first);
    await builder.addLines(opened.known(0, entries.length), opened.references);
    await builder.finish();
    assert.deepEqual(contents.flat(), [first, ...entries]);
  }));
});

Deno.test("a segment is made with the stamps that its text has", async () => {
  await checkAsync(fc.asyncProperty(someEntries, fc.boolean(), async (entries, isKnown) => {
    const store = new PlainStore();
    const segment = stamped(await open(entries, store));
    const builder = new TreeBuilder({ pathTable, emit: emitChecking(store) });
    const size = 5;
    const extents = [{ reference: referenceOf(99, 3), offset: 0, length: size }];
    await builder.add(entryOf("/", { type: "file", size, extents })); // moves all other references
    if (isKnown) await builder.addLines(segment.known(0, entries.length), segment.references);
    else for (const entry of entries) await builder.add(entry);
    await builder.finish();
  }));
});

Deno.test("the list of stamps grows with its segment, and begins anew with the next", async () => {
  const store = new PlainStore();
  const emit = emitChecking(store);
  const builder = new TreeBuilder({ pathTable, emit });
  const paths = Array.from({ length: 20_000 }, (_, n) => `/${String(n).padStart(6, "0")}`);
  for (const [n, path] of paths.entries()) {
    await builder.add(entryOf(path, { mtimeMs: n, type: n % 7 === 0 ? "dir" : "file" }));
  }
  await builder.finish();
  assert.ok(emit.counts.length > 3 && Math.max(...emit.counts) > 1024, String(emit.counts));
});

Deno.test("what is no entry is damage, or another entry, and never contents", () => {
  const line = '{"path":"/a","type":"file","size":5,"mode":0,"uid":0,"gid":0,"mtime":0,"ctime":0,' +
    '"ino":0,"nlink":1,"extents":[[0,0,5]]}';
  const numbers = { size: 5, mode: 0, uid: 0, gid: 0, mtimeMs: 0, ctimeMs: 0, inode: 0, nlink: 1 };
  const entry = entryOf("/a", numbers);
  assert.ok(openLines([line]).contentsIfSame(0, entry));
  const bad = [
    line.replace("[0,0,5]", "[1,0,5]"), // no such reference
    line.replace("[0,0,5]", "[0,0,6]"),
    line.replace("[0,0,5]", "[0,9999999,5]"),
    line.replace("[0,0,5]", "[0,0,5],[0,0,5]"),
    line.replace("[0,0,5]", "[0,0]"),
    line.replace("[0,0,5]", "[0,00,5]"), // no JSON
    line.replace("}", ',"more":1}'),
    line.replace(/,"extents.*/, "}x"),
    line.replace(',"extents":[[0,0,5]]', "2"),
    line.slice(0, -1),
    line + "x",
  ];
  for (const text of bad) {
    assertNotSame(openLines([line, text, line]), entry, text);
    const empty = text.replace('"size":5', '"size":0');
    assertNotSame(openLines([line, empty, line]), { ...entry, size: 0 }, empty);
  }
});

Deno.test("an entry's line that is cut short is not that entry", () => {
  check(
    fc.property(file, (entry) => {
      const table = new ReferenceTable();
      const line = encodeEntry(entry, table);
      const links = table.links();
      for (let size = 1; size < line.length; size++) {
        const segment = openLines([line, line.slice(0, size), line], { table, links });
        assertNotSame(segment, bare(entry), line.slice(0, size));
      }
    }),
    10,
  );
});

Deno.test("stamps tell of files and folders all but the path, and leave the rest to the line", () => {
  const start =
    '{"path":"/a","type":"file","size":5,"mode":1,"uid":2,"gid":3,"mtime":-4,"ctime":5,' +
    '"ino":6,"nlink":7';
  const numbers = { mode: 1, uid: 2, gid: 3, mtimeMs: -4, ctimeMs: 5, inode: 6, nlink: 7 };
  const entry = entryOf("/a", { size: 5, ...numbers });
  const told = [
    `${start},"extents":[[8,9,5]]}`,
    start.replace('"size":5', '"size":0') + "}",
    start.replace("file", "dir").replace('"size":5', '"size":0') + "}",
    start.replace("/a", '/\\"\\\\').replace('"size":5', '"size":0') + "}",
  ];
  const untold = [
    `${start}}`, // without contents
    `${start},"extents":[[8,9,4]]}`,
    `${start},"extents":[[8,9,5],[8,9,5]]}`,
    `${start},"extents":[[5]]}`,
    `${start},"lists":[[0,5]]}`,
    `${start},"extents":[[8,9999999,5]]}`,
    start.replace("file", "symlink") + ',"target":"x"}',
    `${start},"extents":[[8,9,5]]} `,
    `${start.replace('"size":5', '"size":05')},"extents":[[8,9,5]]}`,
    `${start.replace('"mtime":-4', '"mtime":-0')},"extents":[[8,9,5]]}`,
    `${start.replace('"ino":6', '"ino":9007199254740993')},"extents":[[8,9,5]]}`,
    `${start.replace('"uid":2,"gid":3', '"gid":3,"uid":2')},"extents":[[8,9,5]]}`,
    "{}",
    "",
  ];
  const text = ["the references", ...told, ...untold, ""].join("\n");
  const made = EntryStamps.of(new TextEncoder().encode(text));
  for (const stamps of [made, EntryStamps.decode(made.bytes)]) {
    assert.equal(stamps.count, told.length + untold.length);
    assert.equal(stamps.fits(0, entry), true);
    assert.deepEqual(stamps.extent(0), { place: 8, offset: 9, length: 5 });
    assert.equal(stamps.fits(0, { ...entry, size: 6 }), false);
    assert.equal(stamps.fits(1, { ...entry, size: 0 }), true);
    assert.equal(stamps.extent(1), undefined);
    assert.equal(stamps.fits(2, { ...entry, size: 0, type: "dir" }), true);
    assert.equal(stamps.fits(2, { ...entry, size: 0 }), false);
    assert.equal(stamps.fits(3, { ...entry, size: 0 }), true);
    for (const [i, line] of untold.entries()) {
      assert.equal(stamps.fits(told.length + i, entry), undefined, line);
    }
  }
});

Deno.test("a path that looks as another one does in JSON is not that one", async () => {
  const paths = ['/a"b', "/c\\d", "/e\nf"];
  const segment = stamped(await open(paths.map((path) => entryOf(path)), new PlainStore()));
  for (const [at, path] of paths.entries()) {
    assert.ok(segment.contentsIfSame(at, entryOf(path)), path);
    const disguised = JSON.stringify(path).slice(1, -1);
    assert.notEqual(disguised, path);
    assert.equal(segment.contentsIfSame(at, entryOf(disguised)), undefined, disguised);
  }
});

Deno.test("stamps of another segment are damage", async () => {
  const [one, other] = await Promise.all([["/a"], ["/a", "/b"]].map((paths) => {
    return open(paths.map((path) => entryOf(path)), new PlainStore());
  }));
  const kept = { ...one.kept, stamps: EntryStamps.of(other.kept.content.plaintext) };
  assert.throws(() => new OpenSegment(kept, { number: 0, canBeKept: true }), DamagedError);
});

/** Compares the stamps of each segment with those that are read out of its text. */
function emitChecking(store: PlainStore): Emit & { counts: number[] } {
  const counts: number[] = [];
  const emit: Emit = (content, stamps) => {
    if (content.type === RecordType.SEGMENT) {
      assert.ok(stamps);
      const read = EntryStamps.of(content.plaintext);
      const entries = decodeSegment(content);
      const lines = new TextDecoder().decode(content.plaintext).split("\n").slice(1, -1);
      assert.deepEqual([stamps.count, read.count], [entries.length, entries.length]);
      for (const [at, entry] of entries.entries()) {
        const known = stamps.known(lines[at], at);
        assert.equal(known === undefined, read.known(lines[at], at) === undefined);
        if (known) assert.deepEqual(known, { ...readLine(lines[at]), stamps, number: at });
        assert.equal(stamps.fits(at, entry), read.fits(at, entry));
        for (const other of others(bare(entry))) {
          assert.equal(stamps.fits(at, other), read.fits(at, other));
        }
      }
      counts.push(stamps.count);
    } else assert.equal(stamps, undefined);
    return store.emit(content);
  };
  return Object.assign(emit, { counts });
}

/** Of the segment's second entry. */
function assertNotSame(segment: OpenSegment, entry: Entry, text: string): void {
  for (const opened of [segment, stamped(segment)]) {
    try {
      assert.equal(opened.contentsIfSame(1, entry), undefined, text);
    } catch (error) {
      assert.ok(error instanceof DamagedError, text);
    }
  }
}

/** The same as a kept file has it. */
function stamped({ kept }: OpenSegment): OpenSegment {
  const { bytes } = EntryStamps.of(kept.content.plaintext);
  const stamps = EntryStamps.decode(bytes);
  return new OpenSegment({ ...kept, stamps }, { number: 0, canBeKept: true });
}

/** As the walk finds it. */
function bare({ extents: _, ...entry }: Entry): Entry {
  return entry;
}

/** The entry with one thing changed. */
function others(entry: Entry): Entry[] {
  const numbers = ["mode", "uid", "gid", "mtimeMs", "ctimeMs", "inode", "nlink"] as const;
  const changed = numbers.flatMap((name) => {
    const value = entry[name];
    return [value + 1, value * 10, Math.trunc(value / 10)].filter((other) => other !== value)
      .map((other): Entry => ({ ...entry, [name]: other }));
  });
  if (entry.type === "file") changed.push({ ...entry, size: entry.size + 1 });
  if (entry.target !== undefined) changed.push({ ...entry, target: entry.target + "x" });
  const types = (["file", "dir"] as const).filter((type) => type !== entry.type);
  changed.push(...types.map((type): Entry => ({ ...entry, type })));
  const paths = [entry.path + "x", entry.path.slice(0, -1)];
  return [...changed, ...paths.map((path): Entry => ({ ...entry, path }))];
}

/** The segment of a small tree. */
async function open(entries: Entry[], store: PlainStore): Promise<OpenSegment> {
  const builder = new TreeBuilder({ pathTable, emit: store.emit });
  for (const entry of entries) await builder.add(entry);
  const { top } = await builder.finish();
  const kept = { reference: top, content: await store.load(top) };
  return new OpenSegment(kept, { number: 0, canBeKept: true });
}

function openLines(
  lines: string[],
  { table, links }: { table: ReferenceTable; links: Uint8Array[] } = oneReference(),
): OpenSegment {
  const content = encodeText(table, { type: RecordType.SEGMENT, head: {}, lines });
  const kept = { reference: referenceOf(1), content: { ...content, links } };
  return new OpenSegment(kept, { number: 0, canBeKept: true });
}

function oneReference(): { table: ReferenceTable; links: Uint8Array[] } {
  const table = new ReferenceTable();
  table.add(referenceOf(7));
  return { table, links: table.links() };
}
