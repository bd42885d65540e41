/** Parity in the store: when it is made, what is repaired from it, and that no failure on the way makes anything worse. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { equalBytes } from "../../lib/bytes.ts";
import { Database } from "../../lib/db.ts";
import { UpkeepDatabase } from "../../lib/db_upkeep.ts";
import { Log } from "../../lib/log.ts";
import { PARITY, UPKEEP } from "../../lib/limits.ts";
import { RecordType } from "../../lib/record.ts";
import { Reserve } from "../../lib/server/reserve.ts";
import { Upkeep } from "../../lib/server/upkeep.ts";
import { VaultStore } from "../../lib/server/vault_store.ts";
import { Disk } from "../faults/disk.ts";
import { listFiles } from "../programs.ts";
import { makeRecord, type TestRecord } from "./fixture.ts";
import { DAY_MS, StoreBench, withStoreBench } from "./store_bench.ts";

/** A store with parity, and one pack of some records that a snapshot needs. */
async function withPack(
  test: (bench: StoreBench, pack: { records: TestRecord[]; path: string }) => Promise<void>,
): Promise<void> {
  await withStoreBench(async (bench) => {
    bench.parityPercent = 10;
    await bench.crash();
    const device = await bench.member();
    const data = Array.from({ length: 40 }, () => makeRecord(RecordType.DATA, [], 9000));
    const records = [...data, makeRecord(RecordType.ROOT, data)];
    await device.put(...records);
    assert.equal(await device.commit(records.at(-1)!), 0);
    await device.close();
    await test(bench, { records, path: join(bench.packsPath, bench.packNames[0]) });
  });
}

const parityPath = (bench: StoreBench) =>
  join(bench.folder, "parity", bench.vault.id.toHex(), bench.packNames[0]);

function change(path: string, make: (bytes: Uint8Array) => Uint8Array): void {
  Deno.writeFileSync(path, make(Deno.readFileSync(path)));
}

const flip = (at: number) => (bytes: Uint8Array) => {
  bytes[at] ^= 4;
  return bytes;
};
const zeros = (at: number) => (bytes: Uint8Array) => bytes.fill(0, at, at + 4096);
const cut = (size: number) => (bytes: Uint8Array) => bytes.subarray(0, bytes.length - size);
const longer = (bytes: Uint8Array) => new Uint8Array([...bytes, 1, 2, 3]);

function scrubAll(bench: StoreBench) {
  bench.clock.shiftMs += 60_000;
  return bench.scrub(bench.clock.wall());
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function assertSame(path: string, bytes: Uint8Array): void {
  assert.ok(equalBytes(Deno.readFileSync(path), bytes), "the pack is what it was");
}

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

Deno.test("a pack that is not what it was gets no parity until it is right", async () => {
  await withPack(async (bench, { path }) => {
    const whole = Deno.readFileSync(path);
    for (const spoil of [flip(9000), flip(45), flip(whole.length - 3), cut(1)]) {
      change(path, spoil);
      await bench.makeParity();
      assert.throws(() => Deno.statSync(parityPath(bench)), Deno.errors.NotFound);
      assert.match(bench.logged, /no parity made/);
      const row = await bench.store.parity.rows.findByName(bench.vault.number, bench.packNames[0]);
      await bench.store.parity.rows.setParity(row!, 0);
      Deno.writeFileSync(path, whole);
    }
    change(path, flip(9000));
    await bench.makeParity();
    const tried = bench.logged.split("no parity made").length;
    await bench.makeParity();
    assert.equal(bench.logged.split("no parity made").length, tried); // not again and again
    Deno.writeFileSync(path, whole);
    assert.equal((await scrubAll(bench)).parityMade, 1);
    Deno.statSync(parityPath(bench));
  });
});

Deno.test("parity goes with its pack, and what belongs to none is removed at the start", async () => {
  await withPack(async (bench, { records }) => {
    await bench.makeParity();
    const parity = join(bench.folder, "parity", bench.vault.id.toHex());
    await bench.forget(records.at(-1)!);
    bench.clock.shiftMs += 8 * DAY_MS;
    assert.equal(await bench.drop(), 1);
    await bench.collect();
    await bench.collect();
    assert.deepEqual([bench.packNames, [...Deno.readDirSync(parity)]], [[], []]);
    Deno.writeFileSync(join(parity, "0123456789ab-00000000"), new Uint8Array(10));
    Deno.writeFileSync(join(parity, "0123456789ab-00000000.tmp"), new Uint8Array(10));
    await bench.crash();
    assert.deepEqual([...Deno.readDirSync(parity)], []);
  });
});

Deno.test("without parity there is no folder for it, and the index follows the files", async () => {
  await withPack(async (bench) => {
    bench.parityPercent = undefined;
    await bench.crash();
    await scrubAll(bench);
    assert.throws(() => Deno.statSync(join(bench.folder, "parity")), Deno.errors.NotFound);
    await bench.makeParity();
    const find = () => bench.store.parity.rows.findByName(bench.vault.number, bench.packNames[0]);
    assert.equal((await find())!.parity, Deno.statSync(parityPath(bench)).size);
    Deno.removeSync(parityPath(bench));
    await bench.crash();
    assert.equal((await find())!.parity, 0);
    assert.equal((await scrubAll(bench)).parityMade, 0);
    await bench.makeParity();
    assert.equal(await bench.store.parity.removeAll(bench.vault, () => Promise.resolve()), 1);
    assert.equal((await find())!.parity, 0);
    assert.throws(() => Deno.statSync(parityPath(bench)), Deno.errors.NotFound);
  });
});

Deno.test("packs that wait for parity, however many, do not keep scrub from its turn", async () => {
  await withPack(async (bench) => {
    const { store, sessions, clock, db } = bench;
    const upkeep = new UpkeepDatabase(db.sql);
    const sink = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const log = new Log({ format: "text", sink, now: Date.now });
    const work = await Upkeep.start({ store, sessions, upkeep, log, clock });
    const turns: string[] = [];
    store.parity.makeMissing = () => Promise.resolve(false);
    store.parity.makeSome = async () => void turns.push("parity"); // there is always more
    const { scrub } = store.parity;
    store.parity.scrub = (...args) => {
      turns.push("scrub");
      return scrub.apply(store.parity, args);
    };
    const tick = async () => {
      clock.shiftMs += UPKEEP.requestMs;
      await work.tick();
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await tick();
    assert.deepEqual(turns, ["parity"]); // at once, when everything else still waits
    clock.shiftMs += UPKEEP.delayMs;
    while (turns.length < 3) await tick();
    assert.deepEqual(turns, ["parity", "scrub", "parity"]);
    await work.stop();
  });
});

Deno.test("on a full disk no parity is made; it is when there is room", async () => {
  await withPack(async (bench) => {
    using disk = new Disk({ folder: bench.folder, databaseName: "holdfast.db" });
    disk.beforeCall = ({ kind, path }) => {
      if (kind !== "write" || !path.startsWith("parity/")) return;
      throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
    };
    await bench.makeParity();
    assert.match(bench.logged, /no room for parity/);
    assert.deepEqual([...Deno.readDirSync(join(parityPath(bench), ".."))], []);
    assert.equal(bench.store.parity.hasRoom, false);
    disk.beforeCall = () => {};
    await bench.makeParity();
    assert.deepEqual([...Deno.readDirSync(join(parityPath(bench), ".."))], []);
    bench.clock.shiftMs += PARITY.retryMs;
    await bench.makeParity();
    Deno.statSync(parityPath(bench));
  });
});

Deno.test("while the disk is full up to the reserve no parity is made", async () => {
  await withPack(async (bench) => {
    await bench.close();
    const db = Database.open(join(bench.folder, "holdfast.db"));
    const sink = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
    const log = new Log({ format: "text", sink, now: Date.now });
    const { clock } = bench;
    const reserve = new Reserve({ dataPath: bench.folder, bytes: 4096, log, clock });
    const options = { dataPath: bench.folder, db, log, clock, reserve, parityPercent: 5 };
    const store = await VaultStore.open(options);
    reserve.spend();
    const make = () => store.parity.makeSome({ percent: 5, pause: () => Promise.resolve() });
    await make();
    assert.notEqual(await store.parity.rows.findBare(), undefined);
    clock.shiftMs += 60_000;
    await reserve.tick();
    await make();
    assert.equal(await store.parity.rows.findBare(), undefined);
    await store.close();
    db.close();
    await bench.open();
  });
});

/** Runs work, and ends as a crash does before its call number n to the disk; for each n. Returns how many there were. */
async function crashEverywhere(
  bench: StoreBench,
  { prepare, work, check }: {
    prepare: () => Promise<void>;
    work: () => Promise<unknown>;
    check: (n: number) => Promise<void>;
  },
): Promise<number> {
  for (let n = 1;; n++) {
    await prepare();
    let count = 0;
    {
      using disk = new Disk({ folder: bench.folder, databaseName: "holdfast.db" });
      disk.beforeCall = () => {
        if (++count >= n) throw new Error("crash"); // and whatever comes behind it
      };
      await work().catch(() => {});
    }
    await bench.crash();
    await check(n);
    if (count < n) return n;
  }
}

Deno.test("a crash at any point of making parity does no harm", async () => {
  await withPack(async (bench, { records, path }) => {
    const whole = Deno.readFileSync(path);
    const count = await crashEverywhere(bench, {
      prepare: async () => {
        await bench.store.parity.removeAll(bench.vault, () => Promise.resolve());
      },
      work: () => bench.makeParity(),
      check: async () => {
        const folder = join(bench.folder, "parity");
        const files = exists(folder) ? listFiles(folder) : [];
        assert.ok(files.every((name) => !name.endsWith(".tmp")), files.join());
        await bench.makeParity();
        change(path, zeros(70_000));
        await bench.check(...records);
        assertSame(path, whole);
      },
    });
    assert.ok(count > 5, `${count} calls`);
  });
});

Deno.test("a crash at any point of a repair does no harm, and the next scrub repairs", async () => {
  await withPack(async (bench, { records, path }) => {
    await bench.makeParity();
    const whole = Deno.readFileSync(path);
    for (const spoil of [zeros(70_000), cut(30_000)]) {
      const count = await crashEverywhere(bench, {
        prepare: async () => change(path, spoil),
        work: () => scrubAll(bench),
        check: async (n) => {
          assert.deepEqual(bench.packNames.length, 1, `call ${n}`);
          const scrubbed = await scrubAll(bench);
          assert.deepEqual([scrubbed.damaged, scrubbed.records], [0, records.length], `call ${n}`);
          assertSame(path, whole);
          await bench.check(...records);
          assert.deepEqual(await (await bench.member()).has(records.at(-1)!), [true], `call ${n}`);
        },
      });
      assert.ok(count > 8, `${count} calls`);
    }
  });
});
