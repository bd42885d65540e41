/** When parity is made and removed, and that no failure on the way makes anything worse. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../../lib/db.ts";
import { UpkeepDatabase } from "../../lib/db_upkeep.ts";
import { PARITY, UPKEEP } from "../../lib/limits.ts";
import { Log } from "../../lib/log.ts";
import { Reserve } from "../../lib/server/reserve.ts";
import { Upkeep } from "../../lib/server/upkeep.ts";
import { VaultStore } from "../../lib/server/vault_store.ts";
import { Disk } from "../faults/disk.ts";
import { listFiles } from "../programs.ts";
import {
  assertSame,
  change,
  cut,
  exists,
  flip,
  parityPath,
  scrubAll,
  withPack,
  zeros,
} from "./parity_bench.ts";
import { DAY_MS, type StoreBench } from "./store_bench.ts";

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
