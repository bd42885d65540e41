import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { FolderBlobs } from "../../lib/blobs.ts";
import { Database } from "../../lib/db.ts";
import { RecordDatabase } from "../../lib/db_records.ts";
import { VaultDatabase } from "../../lib/db_vault.ts";
import { Log } from "../../lib/log.ts";
import { decodeRecord, RecordType } from "../../lib/record.ts";
import { Completeness } from "../../lib/server/completeness.ts";
import { PackWriter } from "../../lib/server/pack_writer.ts";
import { RecordReader } from "../../lib/server/record_reader.ts";
import { withFolder } from "../folder.ts";
import { checkAsync } from "../property.ts";
import { makeRecord, TestClock, type TestRecord } from "./fixture.ts";

Deno.test("findMissing() lists a bounded number, each once", async () => {
  await withStore(async ({ put, completeness }) => {
    const missing = Array.from({ length: 3000 }, () => makeRecord(RecordType.DATA));
    const half = makeRecord(RecordType.SEGMENT, missing.slice(0, 600));
    const again = makeRecord(RecordType.SEGMENT, missing.slice(0, 600));
    const root = makeRecord(RecordType.ROOT, [half, again]);
    const large = makeRecord(RecordType.ROOT, [makeRecord(RecordType.SEGMENT, missing)]);
    const segment = makeRecord(RecordType.SEGMENT, missing);
    const wide = makeRecord(RecordType.ROOT, [segment]);
    await put(half, again, root, large, segment, wide);
    const few = await completeness.findMissing(root.id, 1024);
    assert.equal(few.missing.length, 600);
    assert.equal(few.isCut, false);
    const many = await completeness.findMissing(wide.id, 1024);
    assert.equal(new Set(many.missing.map((id) => id.toHex())).size, 1024);
    assert.equal(many.isCut, true);
    assert.equal((await completeness.findMissing(large.id, 1024)).missing.length, 1);
  });
});

Deno.test("what was found complete is not walked again, before something is damaged", async () => {
  await withStore(async ({ put, completeness, reads, records }) => {
    const data = [makeRecord(RecordType.DATA), makeRecord(RecordType.DATA)];
    const old = makeRecord(RecordType.SEGMENT, data);
    const first = makeRecord(RecordType.ROOT, [old]);
    await put(...data, old, first);
    assert.deepEqual(await completeness.findMissing(first.id, 9), { missing: [], isCut: false });
    assert.equal(reads(), 2);
    const second = makeRecord(RecordType.ROOT, [old, first]);
    await put(second);
    assert.deepEqual(await completeness.check([second.id, old.id]), [true, true]);
    assert.equal(reads(), 3);
    const row = (await records.findRecord(1, data[0].id))!;
    await records.markDamaged(1, [{ id: data[0].id, pack: row.pack, offset: row.offset }]);
    assert.deepEqual(await completeness.check([second.id, data[1].id]), [false, true]);
    assert.ok(reads() > 3);
  });
});

Deno.test("what is condemned is not there for HAS, and is taken back by COMMIT and by PUT", async () => {
  await withStore(async ({ put, completeness, db }) => {
    const data = makeRecord(RecordType.DATA);
    const segment = makeRecord(RecordType.SEGMENT, [data]);
    const root = makeRecord(RecordType.ROOT, [segment]);
    await put(data, segment, root);
    assert.deepEqual(await completeness.check([root.id]), [true]);
    const condemn = () => db.sql.run("UPDATE records SET condemned = 1, complete = 0");
    condemn();
    assert.deepEqual(await completeness.check([data.id, segment.id, root.id]), [
      false,
      false,
      false,
    ]);
    assert.deepEqual(await completeness.findMissing(root.id, 9), { missing: [], isCut: false });
    assert.deepEqual(await completeness.check([data.id, segment.id, root.id]), [true, true, true]);
    condemn();
    await put(segment, data);
    assert.deepEqual(await completeness.check([data.id, segment.id, root.id]), [true, true, false]);
  });
});

Deno.test("many records that lack the same record are each walked once", async () => {
  await withStore(async ({ put, completeness, reads }) => {
    let level = [makeRecord(RecordType.SEGMENT, [makeRecord(RecordType.DATA)])];
    const all = [...level];
    for (let depth = 0; depth < 8; depth++) {
      const links = level;
      level = Array.from({ length: 4 }, () => makeRecord(RecordType.INDEX, links));
      all.push(...level);
    }
    const root = makeRecord(RecordType.ROOT, level);
    await put(...all, root);
    assert.equal((await completeness.findMissing(root.id, 9)).missing.length, 1);
    assert.equal(reads(), all.length + 1); // and not four to the power of eight
  });
});

Deno.test("areComplete() says of many what is known of each", async () => {
  await withStore(async ({ put, records, db }) => {
    const all = Array.from({ length: 200 }, () => makeRecord(RecordType.DATA));
    const segment = makeRecord(RecordType.SEGMENT, all.slice(0, 1));
    await put(...all, segment);
    const generation = await records.findGeneration(1);
    const { number } = (await records.findRecord(1, segment.id))!;
    const set = (what: string, { id }: TestRecord) =>
      db.sql.run(`UPDATE records SET ${what} WHERE id = ?`, id);
    const lacks: Record<string, (record: TestRecord) => TestRecord> = {
      nothing: (record) => record,
      record: () => makeRecord(RecordType.DATA),
      "undamaged record": (record) => (set("damaged = 1", record), record),
      "record in force": (record) => (set("condemned = 1", record), record),
      "complete segment": () => segment,
    };
    const count = fc.integer({ min: 1, max: all.length });
    await checkAsync(
      fc.asyncProperty(
        count,
        fc.nat(),
        fc.constantFrom(...Object.keys(lacks)),
        async (...drawn) => {
          const [size, place, what] = drawn;
          const asked = all.slice(0, size);
          const at = place % size;
          asked[at] = lacks[what](asked[at]);
          const ids = asked.map(({ id }) => id);
          assert.equal(await records.areComplete(1, ids, generation), what === "nothing");
          assert.equal(await records.areComplete(2, ids, generation), false); // those of another vault
          set("damaged = 0, condemned = NULL", all[at]);
        },
      ),
      300,
    );
    const ids = [...all, segment].map(({ id }) => id);
    assert.equal(await records.areComplete(1, ids, generation), false);
    await records.markComplete(1, [number], generation);
    assert.equal(await records.areComplete(1, ids, generation), true);
    assert.equal(await records.areComplete(1, ids, generation + 1), false);
    assert.equal(await records.areComplete(1, [], generation), true);
  });
});

async function withStore(
  test: (parts: {
    put: (...records: TestRecord[]) => Promise<void>;
    completeness: Completeness;
    reads: () => number;
    records: RecordDatabase;
    db: Database;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const db = Database.open(join(folder, "holdfast.db"));
    const vault = await new VaultDatabase(db.sql).addVault(new Uint8Array(32).fill(1));
    const records = new RecordDatabase(db.sql);
    const blobs = await FolderBlobs.open(join(folder, "packs"));
    const log = new Log({ format: "text", sink: { write: async (b) => b.length }, now: Date.now });
    const writer = new PackWriter({ vault, blobs, records, clock: new TestClock() });
    let reads = 0;
    const reader = new RecordReader({
      vault,
      blobs,
      records,
      log,
      heal: () => Promise.resolve(false),
    });
    const read = reader.read.bind(reader);
    reader.read = (...args) => {
      reads++;
      return read(...args);
    };
    const completeness = new Completeness({ vaultNumber: vault.number, records, reader });
    const put = async (...all: TestRecord[]) => {
      for (const { id, bytes } of all) {
        writer.append({ id, type: decodeRecord(bytes).type, bytes });
      }
      await writer.flush();
    };
    try {
      await test({ put, completeness, reads: () => reads, records, db });
    } finally {
      db.close();
    }
  });
}
