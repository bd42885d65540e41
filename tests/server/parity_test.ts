/** Parity in the store: what is repaired from it, when, and what not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../../lib/db.ts";
import { PARITY } from "../../lib/limits.ts";
import { Log } from "../../lib/log.ts";
import { RecordType } from "../../lib/record.ts";
import { VaultStore } from "../../lib/server/vault_store.ts";
import { Disk } from "../faults/disk.ts";
import { makeRecord } from "./fixture.ts";
import {
  assertSame,
  change,
  cut,
  flip,
  longer,
  parityPath,
  scrubAll,
  withPack,
  zeros,
} from "./parity_bench.ts";

for (
  const [what, spoil] of Object.entries({
    "one bit of a record": flip(50_000),
    "4 KiB of zeros": zeros(123_456),
    "a lost end": cut(30_000),
    "one bit of the header": flip(3),
    "one bit of the trailer": (bytes: Uint8Array) => flip(bytes.length - 20)(bytes),
    "more at the end": longer,
  })
) {
  Deno.test(`a scrub repairs ${what} from parity, without a client`, async () => {
    await withPack(async (bench, { records, path }) => {
      await bench.makeParity();
      const whole = Deno.readFileSync(path);
      change(path, spoil);
      const scrubbed = await scrubAll(bench);
      const isInRecords = /record|zeros|lost/.test(what);
      assert.equal(scrubbed.repaired > 0, isInRecords, `${scrubbed.repaired} repaired`);
      assert.deepEqual([scrubbed.damaged, scrubbed.records], [0, records.length]);
      assertSame(path, whole);
      assert.match(bench.logged, /pack repaired/);
      await bench.check(...records);
      const device = await bench.member();
      assert.deepEqual(await device.has(records.at(-1)!), [true]);
      assert.deepEqual((await scrubAll(bench)).repaired, 0);
    });
  });
}

Deno.test("who reads a damaged record gets it from parity, and the pack is right again", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    change(path, (bytes) => flip(200_000)(zeros(20_000)(bytes)));
    await bench.check(...records);
    assertSame(path, whole);
    assert.doesNotMatch(bench.logged, /records damaged/);
  });
});

Deno.test("what is known to be damaged is right again when parity comes back", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    const away = `${bench.folder}/away`;
    Deno.renameSync(join(bench.folder, "parity"), away);
    bench.parityPercent = undefined;
    await bench.crash();
    change(path, cut(30_000));
    const found = await scrubAll(bench);
    assert.equal(found.repaired, 0);
    assert.ok(found.damaged > 0);
    const device = await bench.member();
    assert.deepEqual(await device.has(records.at(-1)!), [false]);
    await bench.crash(); // the index knows the shorter pack from now on
    Deno.renameSync(away, join(bench.folder, "parity"));
    await bench.crash();
    const repaired = await scrubAll(bench);
    assert.deepEqual([repaired.damaged, repaired.mended], [0, 0]);
    assert.equal(repaired.repaired, found.damaged);
    assertSame(path, whole);
    const row = await bench.store.parity.rows.findByName(bench.vault.number, bench.packNames[0]);
    assert.equal(row!.bytes, whole.length);
    assert.deepEqual(await (await bench.member()).has(records.at(-1)!), [true]);
  });
});

Deno.test("more damage than parity is marked as ever, nothing is made worse, and reads do not try again and again", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    change(path, (bytes) => bytes.fill(0, 50_000, 150_000));
    const spoiled = Deno.readFileSync(path);
    const scrubbed = await scrubAll(bench);
    assert.equal(scrubbed.repaired, 0);
    assert.ok(scrubbed.damaged > 8 && scrubbed.damaged < 16, `${scrubbed.damaged} damaged`);
    assert.equal(scrubbed.records, records.length - scrubbed.damaged);
    assertSame(path, spoiled);
    const tries = () => bench.logged.split("pack beyond repair").length - 1;
    const before = tries();
    for (let i = 0; i < 3; i++) {
      const got = await bench.get(...records);
      assert.equal(got.filter((state) => state === "damaged").length, scrubbed.damaged);
    }
    assert.equal(tries(), before);
    bench.clock.shiftMs += PARITY.failedMs;
    await bench.get(...records);
    assert.equal(tries(), before + 1);
    // The next backup heals it; the pack that comes of it has parity of its own.
    await (await bench.member()).put(...records);
    await bench.makeParity();
    await bench.check(...records);
  });
});

Deno.test("two packs that were swapped are damage, and stay as they are", async () => {
  await withPack(async (bench, { records, path }) => {
    const device = await bench.member();
    const others = Array.from({ length: 40 }, () => makeRecord(RecordType.DATA, [], 9000));
    await device.put(...others);
    await bench.makeParity();
    const other = join(bench.packsPath, bench.packNames.find((name) => !path.endsWith(name))!);
    const bytes = [other, path].map((path) => Deno.readFileSync(path));
    [path, other].forEach((path, i) => Deno.writeFileSync(path, bytes[i]));
    const scrubbed = await scrubAll(bench);
    assert.deepEqual([scrubbed.repaired, scrubbed.damaged], [0, records.length + others.length]);
    [path, other].forEach((path, i) => assertSame(path, bytes[i]));
  });
});

Deno.test("a pack that is gone stays gone", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    Deno.removeSync(path);
    const scrubbed = await scrubAll(bench);
    assert.deepEqual([scrubbed.repaired, scrubbed.damaged], [0, records.length]);
    await bench.crash();
    assert.match(bench.logged, /pack is gone/);
  });
});

Deno.test("a pack that lost its end is repaired at the start of the server", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    await bench.close();
    change(path, cut(30_000));
    await bench.open();
    assertSame(path, whole);
    assert.doesNotMatch(bench.logged, /pack cut short/);
    assert.deepEqual((await scrubAll(bench)).damaged, 0);
    await bench.check(...records);
  });
});

Deno.test("rebuild repairs a pack whose trailer and record headers are damaged, and has all of its records", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    await bench.close();
    for (
      const spoil of [
        cut(30_000),
        (bytes: Uint8Array) => zeros(bytes.length - 4096)(zeros(30)(bytes)),
      ]
    ) {
      change(path, spoil);
      const db = Database.open(join(bench.folder, "holdfast.db"));
      const sink = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
      const log = new Log({ format: "text", sink, now: Date.now });
      const options = { dataPath: bench.folder, db, log, clock: bench.clock };
      const { packsAdopted, damaged } = await VaultStore.rebuild(options);
      db.close();
      assert.deepEqual([packsAdopted, damaged], [1, 0]);
      assertSame(path, whole);
    }
    await bench.open();
    await bench.check(...records);
    const row = await bench.store.parity.rows.findByName(bench.vault.number, bench.packNames[0]);
    assert.equal(row!.parity, Deno.statSync(parityPath(bench)).size);
  });
});

Deno.test("a sector that the disk cannot read is repaired", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    const { blobs } = bench.store;
    const read = blobs.read.bind(blobs);
    let isBad = true;
    blobs.read = (name, offset, target) => {
      const hits = offset < 60_512 && offset + target.length > 60_000;
      if (!isBad || !hits) return read(name, offset, target);
      return Promise.reject(Object.assign(new Error("Input/output error"), { code: "EIO" }));
    };
    const create = blobs.create.bind(blobs);
    blobs.create = (name) => {
      isBad = false; // the disk takes another sector
      return create(name);
    };
    const scrubbed = await scrubAll(bench);
    assert.deepEqual([scrubbed.damaged, scrubbed.repaired], [0, 1]);
    assertSame(path, whole);
    await bench.check(...records);
  });
});

Deno.test("a row that names a wrong place is damage, though its pack is right", async () => {
  await withPack(async (bench, { records }) => {
    await bench.makeParity();
    bench.db.sql.run("UPDATE records SET offset = offset + 1 WHERE id = ?", records[3].id);
    assert.deepEqual(await bench.get(records[3], records[4]), ["damaged", records[4].bytes]);
  });
});

Deno.test("a pack that is removed while it is repaired stays removed", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    change(path, flip(50_000));
    const { blobs, parity } = bench.store;
    const row = await parity.rows.findByName(bench.vault.number, bench.packNames[0]);
    const create = blobs.create.bind(blobs);
    blobs.create = async (name) => {
      const writer = await create(name);
      bench.db.sql.run("DELETE FROM records");
      bench.db.sql.run("UPDATE packs SET state = 3");
      await blobs.delete(name);
      return writer;
    };
    assert.equal(await parity.heal(bench.vault, row!.number), false);
    assert.deepEqual(bench.packNames, []);
    assert.deepEqual(await bench.get(records[0]), ["missing"]);
  });
});

Deno.test("the index learns that a pack is whole again which somebody brought back", async () => {
  await withPack(async (bench, { path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    const find = () => bench.store.parity.rows.findByName(bench.vault.number, bench.packNames[0]);
    await bench.store.records.markPackCut(bench.vault.number, (await find())!.number, 1000);
    assert.equal((await find())!.bytes, 1000);
    const scrubbed = await scrubAll(bench);
    assert.deepEqual([scrubbed.repaired, scrubbed.damaged, scrubbed.mended], [0, 0, 41]);
    assert.equal((await find())!.bytes, whole.length);
  });
});

Deno.test("parity that the disk cannot read in part still repairs", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    change(path, zeros(50_000));
    {
      using disk = new Disk({ folder: bench.folder, databaseName: "holdfast.db" });
      let reads = 0;
      disk.beforeCall = ({ kind, path }) => {
        if (kind !== "read" || !path.startsWith("parity/")) return;
        reads++;
        if (reads !== 1 && reads !== 5) return; // all of it at once, and one block
        throw Object.assign(new Error("Input/output error"), { code: "EIO" });
      };
      await bench.check(...records);
      assert.ok(reads > 8, `${reads} reads`);
    }
    assertSame(path, whole);
  });
});

Deno.test("parity that is damaged still repairs, and is made anew by a scrub", async () => {
  await withPack(async (bench, { path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    const parity = Deno.readFileSync(parityPath(bench));
    for (const spoil of [flip(60), flip(10_000), cut(5000)]) {
      change(parityPath(bench), spoil);
      change(path, zeros(50_000));
      assert.ok((await scrubAll(bench)).repaired > 0);
      assertSame(path, whole);
      assertSame(parityPath(bench), parity);
    }
    assert.match(bench.logged, /parity damaged/);
    // Of parity that nothing is left of, too; and of parity that is gone.
    change(parityPath(bench), (bytes) => bytes.fill(7));
    assert.equal((await scrubAll(bench)).parityMade, 1);
    assertSame(parityPath(bench), parity);
    Deno.removeSync(parityPath(bench));
    assert.equal((await scrubAll(bench)).parityMade, 1);
    assertSame(parityPath(bench), parity);
    assert.match(bench.logged, /parity lost/);
  });
});
