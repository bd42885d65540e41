import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { runPass } from "../../lib/client/backup_pass.ts";
import { BackupTally } from "../../lib/client/backup_tally.ts";
import type { FileJobs } from "../../lib/client/file_jobs.ts";
import { type FileReading, JobOutcomes } from "../../lib/client/job_outcomes.ts";
import { KeptCursor } from "../../lib/client/kept_cursor.ts";
import { KeptFile, type KeptSegment, KeptWriter } from "../../lib/client/kept_file.ts";
import { RecordUse } from "../../lib/client/record_use.ts";
import type { Scanned } from "../../lib/client/scan.ts";
import { RecordType } from "../../lib/record.ts";
import type { Entry } from "../../lib/vault/entry.ts";
import type { RecordContent } from "../../lib/vault/seal.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import { type Tree, TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { decodeSegment } from "../../lib/vault/tree_reader.ts";
import { withFolder } from "../folder.ts";
import { checkAsync } from "../property.ts";
import { entryOf, idOf, PlainStore, referenceOf } from "../vault/fixture.ts";

const { pathTable, chunkTable } = deriveWriteKeys(new Uint8Array(32).fill(1));
const KEY = idOf(1);
const FILES = 5000;
const FILE_BYTES = 100;
const NEW_REFERENCE = referenceOf(9999, 3);

/** What may happen to one file between two backups. */
interface Change {
  at: number;
  kind: "removed" | "changed" | "new beside it" | "other mode" | "the last";
}

Deno.test("a pass that takes over segments makes the tree of one that makes all anew", async () => {
  await withFolder(async (folder) => {
    const { path, store, ends } = await keepUnchanged(folder);
    const change = fc.record<Change>({
      at: fc.oneof(
        fc.nat({ max: FILES - 1 }),
        fc.constantFrom(...ends, ...ends.map((at) => at + 1)),
      ),
      kind: fc.constantFrom("removed", "changed", "new beside it", "other mode", "the last"),
    });
    await checkAsync(
      fc.asyncProperty(fc.array(change, { maxLength: 4 }), (changes) => comparePasses(changes)),
      30,
    );
    for (const end of ends) await comparePasses([{ at: end + 1, kind: "removed" }]);

    async function comparePasses(changes: Change[]) {
      const after = entries(changes);
      const { tree, recorded, tally } = await pass(path, after, store);
      const expected = await build(after, new PlainStore());
      assert.deepEqual(tree.totals, expected.totals);
      assert.equal(tree.top.id.toHex(), expected.top.id.toHex());
      assert.deepEqual(recorded.flatMap(({ content }) => decodeSegment(content)), after);
      const files = after.filter(({ type }) => type === "file").length;
      assert.equal(tally.files, files);
      assert.equal(tally.doneEntries, after.length);
      const read = after.filter(({ extents }) => extents?.[0].reference === NEW_REFERENCE);
      assert.equal(tally.unchangedFiles, files - read.length);
    }
  });
});

Deno.test("of an unchanged tree only the last segment is made again; of a sparse, fresh or lost one all are", async () => {
  await withFolder(async (folder) => {
    const { path, store, segments, before } = await keepUnchanged(folder);
    assert.ok(segments > 3, `${segments}`);
    assert.equal((await pass(path, before, store)).made, 1);
    const lost = await pass(path, before, store, { isThere: false });
    assert.equal(lost.made, segments);
    assert.equal(lost.tally.unchangedFiles, 0);
    await writeKept(path, before, store, { startMs: before[3].mtimeMs });
    assert.equal((await pass(path, before, store)).made, segments, "may have changed since");
    const sparse = [before.find(({ type }) => type === "file")!.extents![0].reference!.id];
    await writeKept(path, before, store, { sparse });
    assert.equal((await pass(path, before, store)).made, 2, "the first and the last");
  });
});

/** The entries without any change, kept. */
async function keepUnchanged(folder: string) {
  const [path, store, before] = [join(folder, "kept"), new PlainStore(), entries([])];
  return { path, store, before, ...await writeKept(path, before, store) };
}

/** Folders of 50 files, in order, as they are after the changes. */
function entries(changes: Change[]): Entry[] {
  const all: Entry[] = [entryOf("/", { type: "dir" })];
  const contents = (reference = NEW_REFERENCE, offset = 0) => {
    return { size: FILE_BYTES, extents: [{ reference, offset, length: FILE_BYTES }] };
  };
  for (let i = 0; i < FILES; i++) {
    const folder = `/folder${String(Math.floor(i / 50)).padStart(6, "0")}`;
    if (i % 50 === 0) all.push(entryOf(folder, { type: "dir" }));
    const path = `${folder}/file${String(i).padStart(8, "0")}`;
    const kinds = new Set(changes.filter(({ at }) => at === i).map(({ kind }) => kind));
    if (!kinds.has("removed")) {
      const known = contents(referenceOf(Math.floor(i / 20), Math.floor(i / 3000)), i % 20 * 100);
      const entry = entryOf(path, { ...known, inode: i });
      if (kinds.has("other mode")) entry.mode = 0o600;
      if (kinds.has("changed")) Object.assign(entry, contents(), { mtimeMs: 7 });
      all.push(entry);
    }
    if (kinds.has("the last")) break;
    if (kinds.has("new beside it")) all.push(entryOf(`${path}x`, { ...contents(), inode: i }));
  }
  return all;
}

async function build(all: Entry[], store: PlainStore): Promise<Tree> {
  const builder = new TreeBuilder({ pathTable, emit: store.emit });
  for (const entry of all) await builder.add(entry);
  return await builder.finish();
}

/** Keeps the entries, as a backup does that has made a snapshot of them. `ends`: numbers of the files that end segments. */
async function writeKept(
  path: string,
  all: Entry[],
  store: PlainStore,
  { startMs = Date.now(), sparse = [] as Uint8Array[] } = {},
): Promise<{ segments: number; ends: number[] }> {
  const writer = new KeptWriter(path, KEY);
  let segments = 0;
  const ends: number[] = [];
  const emit = async (content: RecordContent) => {
    const reference = await store.emit(content);
    if (content.type === RecordType.SEGMENT) {
      segments++;
      ends.push(decodeSegment(content).at(-1)!.inode);
      writer.addSegment({ reference, content });
    }
    return reference;
  };
  const builder = new TreeBuilder({ pathTable, emit });
  for (const entry of all) await builder.add(entry);
  await builder.finish();
  const totals = { entries: all.length, bytes: 0 };
  writer.finish({ ...totals, root: idOf(2), startMs, indexes: [], sparse });
  return { segments, ends };
}

/** A pass over entries as a walk would find them; what has to be read has the new reference. */
async function pass(
  path: string,
  all: Entry[],
  store: PlainStore,
  { isThere = true } = {},
): Promise<{ tree: Tree; recorded: KeptSegment[]; made: number; tally: BackupTally }> {
  using file = KeptFile.open(path, KEY)!;
  const has = (ids: Uint8Array[]) => Promise.resolve(ids.map(() => isThere));
  const kept = await KeptCursor.open(file, { has, onDamage: () => assert.fail("damaged") });
  const recorded: KeptSegment[] = [];
  let made = 0;
  const emit = async (content: RecordContent) => {
    const reference = await store.emit(content);
    if (content.type === RecordType.SEGMENT) {
      made++;
      recorded.push({ reference, content });
    }
    return reference;
  };
  const tally = new BackupTally();
  const tree = await runPass({
    ...{ kept, emit, pathTable, chunkTable, tally },
    jobs: fakeJobs(),
    entries: walk(all),
    keep: ({ kept }) => void recorded.push(kept),
    use: new RecordUse({ pattern: 0 }),
    interrupted: new Promise<never>(() => {}),
  });
  return { tree, recorded, made, tally };
}

async function* walk(all: Entry[]): AsyncGenerator<Scanned[]> {
  for (let at = 0; at < all.length; at += 512) {
    yield all.slice(at, at + 512).map(({ extents: _, ...entry }) => {
      return { entry, device: 1, allocatedBytes: entry.size };
    });
  }
}

function fakeJobs(): FileJobs {
  const add = ({ entry: { size } }: Scanned): FileReading => {
    const extents = [{ reference: NEW_REFERENCE, offset: 0, length: size }];
    const job = new JobOutcomes();
    Promise.resolve().then(() => job.settleOne({ contents: { size, extents } }));
    return { job, number: 0 };
  };
  return { add, isFull: false, flush: () => Promise.resolve() } as unknown as FileJobs;
}
