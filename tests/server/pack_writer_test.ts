import assert from "node:assert/strict";
import { join } from "node:path";
import { type BlobStore, type BlobWriter, FolderBlobs } from "../../lib/blobs.ts";
import { Database } from "../../lib/db.ts";
import { RecordDatabase } from "../../lib/db_records.ts";
import { VaultDatabase } from "../../lib/db_vault.ts";
import { STORE } from "../../lib/limits.ts";
import { RecordType } from "../../lib/record.ts";
import { readPackEntries } from "../../lib/server/pack_reader.ts";
import { PackWriter } from "../../lib/server/pack_writer.ts";
import { withFolder } from "../folder.ts";
import { makeRecord, TestClock, type TestRecord } from "./fixture.ts";

const vaultId = new Uint8Array(32).fill(3);

Deno.test("PackWriter makes records durable when the pack is finished", async () => {
  await withWriter(async ({ writer, records, blobs }) => {
    const one = makeRecord(RecordType.DATA, [], 1000);
    const two = makeRecord(RecordType.SESSION);
    const [first, second] = [append(writer, one), append(writer, two)];
    await Promise.all([first.written, second.written]);
    assert.equal(await records.findRecord(1, one.id), undefined);
    writer.finish();
    await second.durable;
    const row = (await records.findRecord(1, two.id))!;
    assert.equal(row.size, two.bytes.length);
    const target = new Uint8Array(row.size);
    const name = `${vaultId.toHex()}/${await records.findPackName(1, row.pack)}`;
    assert.equal(await blobs.read(name, row.offset, target), row.size);
    assert.deepEqual(target, two.bytes);
    assert.ok(writer.isIdle);
  });
});

Deno.test("PackWriter finishes a pack that is full, quiet or old", async () => {
  await withWriter(async ({ writer, clock }) => {
    const big = makeRecord(RecordType.DATA, [], 4 * 1024 * 1024 - 100);
    const first = append(writer, big);
    for (let i = 0; i < 4; i++) {
      append(writer, { ...makeRecord(RecordType.DATA), bytes: big.bytes });
    }
    await first.durable; // the fifth did not fit
    const quiet = append(writer, makeRecord(RecordType.DATA));
    writer.sweep();
    assert.ok(!writer.isIdle);
    clock.shiftMs += STORE.packQuietMs;
    writer.sweep();
    await quiet.durable;
    const old = append(writer, makeRecord(RecordType.DATA));
    for (let ms = 0; ms < STORE.packAgeMsMax; ms += 500) {
      clock.shiftMs += 500;
      writer.sweep();
      append(writer, makeRecord(RecordType.DATA));
    }
    clock.shiftMs += 500;
    writer.sweep();
    await old.durable;
    await writer.flush();
  });
});

Deno.test("PackWriter writes a record that is on its way once", async () => {
  await withWriter(async ({ writer, blobs }) => {
    const record = makeRecord(RecordType.DATA);
    const first = append(writer, record);
    assert.equal(append(writer, record).durable, first.durable);
    writer.finish();
    assert.equal(append(writer, record).durable, first.durable);
    await first.durable;
    assert.equal((await readAllEntries(blobs)).length, 1);
  });
});

Deno.test("PackWriter tells a failed write, and goes on with another pack", async () => {
  for (const failing of ["create", "write", "finish"] as const) {
    await withWriter(async ({ writer, records, blobs, fail }) => {
      fail(failing);
      const lost = makeRecord(RecordType.DATA);
      const appended = append(writer, lost);
      await appended.written.catch(() => {});
      writer.finish();
      await assert.rejects(appended.durable, /disk is full/);
      fail(undefined);
      assert.equal(await records.findRecord(1, lost.id), undefined);
      const again = append(writer, lost);
      writer.finish();
      await again.durable;
      assert.ok(await records.findRecord(1, lost.id));
      assert.equal((await readAllEntries(blobs)).length, 1);
    });
  }
});

Deno.test("PackWriter gives up a pack after one failed write, though the next would succeed", async () => {
  await withWriter(async ({ writer, blobs, fail }) => {
    const first = append(writer, makeRecord(RecordType.DATA));
    await first.written;
    fail("write");
    const second = append(writer, makeRecord(RecordType.DATA));
    await assert.rejects(second.written);
    fail(undefined);
    writer.finish();
    await assert.rejects(first.durable, /disk is full/);
    await assert.rejects(second.durable, /disk is full/);
    assert.equal((await readAllEntries(blobs)).length, 0);
  });
});

function append(writer: PackWriter, { id, bytes }: TestRecord) {
  return writer.append({ id, type: RecordType.DATA, bytes });
}

async function readAllEntries(blobs: BlobStore) {
  const all = [];
  for await (const { name, size } of blobs.list(vaultId.toHex())) {
    const file = { vaultId, name: name.split("/")[1], bytes: size };
    all.push(...await readPackEntries(blobs, file));
  }
  return all;
}

/** Blobs whose disk is full at one step. */
class FailingBlobs implements BlobStore {
  failing: "create" | "write" | "finish" | undefined;
  readonly #blobs: BlobStore;

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  async create(name: string): Promise<BlobWriter> {
    this.#check("create");
    const writer = await this.#blobs.create(name);
    return {
      write: async (bytes) => {
        this.#check("write");
        await writer.write(bytes);
      },
      finish: async () => {
        this.#check("finish");
        await writer.finish();
      },
      abort: () => writer.abort(),
    };
  }

  read = (name: string, offset: number, target: Uint8Array) =>
    this.#blobs.read(name, offset, target);
  size = (name: string) => this.#blobs.size(name);
  list = (folder: string) => this.#blobs.list(folder);
  listFolders = () => this.#blobs.listFolders();
  sweep = () => this.#blobs.sweep();
  delete = (name: string) => this.#blobs.delete(name);

  #check(step: "create" | "write" | "finish"): void {
    if (this.failing === step) throw new Error("disk is full");
  }
}

async function withWriter(
  test: (parts: {
    writer: PackWriter;
    records: RecordDatabase;
    blobs: BlobStore;
    clock: TestClock;
    fail: (step: "create" | "write" | "finish" | undefined) => void;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const db = Database.open(join(folder, "holdfast.db"));
    const vault = await new VaultDatabase(db.sql).addVault(vaultId);
    const records = new RecordDatabase(db.sql);
    const blobs = new FailingBlobs(await FolderBlobs.open(join(folder, "packs")));
    const clock = new TestClock();
    const writer = new PackWriter({ vault, blobs, records, clock });
    try {
      await test({ writer, records, blobs, clock, fail: (step) => blobs.failing = step });
    } finally {
      await writer.flush();
      db.close();
    }
  });
}
