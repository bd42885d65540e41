/** `server export`, `usage` and `backup-db`: copies that are made while a store is used, and what comes back from them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../../lib/db.ts";
import { RecordDatabase } from "../../lib/db_records.ts";
import { UpkeepDatabase } from "../../lib/db_upkeep.ts";
import { UsageDatabase } from "../../lib/db_usage.ts";
import { Log } from "../../lib/log.ts";
import { RecordType } from "../../lib/record.ts";
import { type ExportOptions, exportVault } from "../../lib/server/export.ts";
import { VaultStore } from "../../lib/server/vault_store.ts";
import { readTree, TestServer, withBackupBench } from "../client/backup_fixture.ts";
import { runClient } from "../client/run_client.ts";
import { withFolder } from "../folder.ts";
import { listFiles, runServer } from "../programs.ts";
import { makeRecord, random, TestClock, type TestRecord } from "./fixture.ts";
import { type StoreBench, withStoreBench } from "./store_bench.ts";

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
function json(text: string): any {
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

function exportOptions(bench: StoreBench, to: string): ExportOptions {
  const { sql } = bench.db;
  return {
    ...{ vault: bench.vault, from: bench.folder, to, db: bench.store.db, clock: bench.clock },
    records: new RecordDatabase(sql),
    upkeep: new UpkeepDatabase(sql),
    usage: new UsageDatabase(sql),
  };
}

/** Makes the index of a copy, and looks for records there. */
async function checkCopy(
  dataPath: string,
  vaultId: Uint8Array,
  records: TestRecord[],
): Promise<void> {
  const db = Database.open(join(dataPath, "holdfast.db"));
  const sink = { write: async (bytes: Uint8Array) => bytes.length };
  const log = new Log({ format: "text", sink, now: Date.now });
  const options = { dataPath, db, log, clock: new TestClock() };
  const rebuilt = await VaultStore.rebuild(options);
  assert.deepEqual([rebuilt.vaults, rebuilt.damaged], [1, 0]);
  const store = await VaultStore.open(options);
  try {
    const vault = (await store.enter(vaultId))!;
    for await (const read of vault.reader.readAll(records.map(({ id }) => id))) {
      assert.equal(read.state, "found", `record ${read.index} is in the copy`);
    }
    store.leave(vault);
  } finally {
    await store.close();
    db.close();
  }
}

Deno.test("an export has all that its journal names, whatever collection moves and deletes meanwhile", async () => {
  await withFolder((to) =>
    withStoreBench(async (bench) => {
      const device = await bench.member();
      const leaf = (size = 3000) => makeRecord(RecordType.DATA, [], size);
      const early = leaf();
      await device.put(early);
      const [small, smaller] = [leaf(), leaf()];
      await device.put(small, leaf(50_000)); // what nothing reaches goes, and the rest moves
      const [a, b] = [leaf(), leaf()];
      await device.put(a);
      await device.put(b);
      await device.put(smaller, leaf(50_000));
      const kept = makeRecord(RecordType.ROOT, [early, small, smaller]);
      const forgotten = makeRecord(RecordType.ROOT, [a, b]);
      await device.put(forgotten, kept);
      assert.equal(await device.commit(kept), 0);
      assert.equal(await device.commit(forgotten), 0);
      await device.close();
      assert.equal((await bench.collect()).condemned, 2);
      await bench.forget(forgotten);
      bench.clock.shiftMs += 31 * 24 * 3600 * 1000; // may be dropped, and is not yet
      let packs = 0;
      const result = await exportVault({
        ...exportOptions(bench, to),
        onPack: async () => {
          if (++packs === 1) assert.equal(await bench.drop(), 1);
          // The pack that the rest is moved to has a name before the one that was copied last.
          if (packs <= 2) bench.clock.shiftMs -= 15 * 60 * 1000;
          for (let run = 0; run < 2; run++) await bench.collect();
        },
      });
      assert.equal(result.damaged, 0);
      assert.deepEqual(await bench.get(smaller, small), [smaller.bytes, small.bytes]);
      await checkCopy(to, bench.vault.id, [kept, early, small, smaller, forgotten, a, b]);
      for (let run = 0; run < 2; run++) await bench.collect(); // the copy does not hold it up any more
      assert.deepEqual(await bench.get(forgotten, a, b), ["missing", "missing", "missing"]);
      const again = await exportVault(exportOptions(bench, to));
      assert.ok(again.packs < packs, "what is there is not copied again");
      await checkCopy(to, bench.vault.id, [kept, early, small, smaller]);
    })
  );
});

Deno.test("an export ends when collection has taken it for one that was killed", async () => {
  await withFolder((to) =>
    withStoreBench(async (bench) => {
      const device = await bench.member();
      for (let pack = 0; pack < 2; pack++) await device.put(makeRecord(RecordType.DATA));
      const slept = exportVault({
        ...exportOptions(bench, to),
        onPack: async () => {
          bench.clock.shiftMs += 2 * 3600 * 1000;
          await bench.collect();
        },
      });
      await assert.rejects(slept, /collection may have deleted/);
      await exportVault(exportOptions(bench, to));
    })
  );
});

Deno.test("an export copies more packs than it lists at a time, and names what is damaged", async () => {
  await withFolder((to) =>
    withStoreBench(async (bench) => {
      const device = await bench.member();
      for (let pack = 0; pack < 300; pack++) await device.put(makeRecord(RecordType.DATA));
      const [first, second] = bench.packNames.map((name) => join(bench.packsPath, name));
      const bytes = Deno.readFileSync(first);
      bytes[100] ^= 1;
      Deno.writeFileSync(first, bytes);
      Deno.removeSync(second);
      const result = await exportVault(exportOptions(bench, to));
      assert.deepEqual([result.packs, result.damaged], [299, 2]);
      assert.equal(listFiles(join(to, "packs")).length, 299);
    })
  );
});

Deno.test("a client restores from a server that was made of an export", async () => {
  await withBackupBench(async (bench) => {
    const { server, source, profile, folder } = bench;
    for (let i = 0; i < 5; i++) Deno.writeFileSync(join(source, `file${i}`), random(300_000));
    const made = await bench.backup();
    assert.equal(made.code, 0, made.stderr);
    const data = ["--data", server.dataPath, "--json"];
    const { id } = json((await runServer("vaults", ...data)).stdout);

    const copy = new TestServer(join(folder, "copy"));
    const to = ["--to", copy.dataPath];
    Deno.mkdirSync(join(folder, "copy"));
    const without = await runServer("export", id.slice(0, 6), ...to, ...data);
    assert.equal(without.code, 0, without.stderr);
    assert.deepEqual(listFiles(copy.dataPath).filter((name) => name.startsWith("server")), []);
    const exported = await runServer("export", id, ...to, "--server-key", ...data);
    assert.equal(exported.code, 0, exported.stderr);
    const { event, vault, packs, damaged } = json(exported.stdout);
    assert.deepEqual([event, vault, packs, damaged], ["exported", id, 0, 0]);

    const { mode } = Deno.statSync(join(copy.dataPath, "server.key"));
    assert.equal(mode! & 0o777, 0o600);
    const { port } = server;
    await server.stop();
    const rebuilt = await copy.run("rebuild");
    assert.equal(rebuilt.code, 0, rebuilt.stderr);
    copy.port = port;
    await copy.start();
    try {
      const out = join(folder, "out");
      const restore = ["restore", made.summary.snapshot, "--to", out, "--profile", profile];
      const restored = await runClient(restore, { cwd: folder });
      assert.equal(restored.code, 0, restored.stderr);
      for (const [path, bytes] of readTree(source)) {
        assert.deepEqual(Deno.readFileSync(join(out, path)), bytes);
      }
      assert.equal((await bench.backup()).code, 0);
    } finally {
      await copy.stop("SIGKILL");
    }
  });
});

Deno.test("server export refuses what would spoil a folder", async () => {
  await withBackupBench(async ({ server, folder }) => {
    const data = ["--data", server.dataPath];
    const { id } = json((await runServer("vaults", ...data, "--json")).stdout);
    const same = await runServer("export", id, "--to", server.dataPath, ...data);
    assert.deepEqual([same.code, /the data folder itself/.test(same.stderr)], [2, true]);
    const other = new TestServer(join(folder, "other"));
    await other.start();
    try {
      const used = await runServer("export", id, "--to", other.dataPath, ...data);
      assert.deepEqual([used.code, /another server uses it/.test(used.stderr)], [1, true]);
    } finally {
      await other.stop();
    }
    const key = await runServer("export", id, "--to", other.dataPath, "--server-key", ...data);
    assert.deepEqual([key.code, /has another one/.test(key.stderr)], [1, true]);
    assert.equal((await runServer("export", id, ...data)).code, 2);
    assert.equal((await runServer("export", "zz", "--to", join(folder, "x"), ...data)).code, 2);
  });
});

Deno.test("server usage counts what there is; backup-db copies the database beside a running server", async () => {
  await withBackupBench(async (bench) => {
    const { server, source, profile, folder } = bench;
    const data = ["--data", server.dataPath, "--json"];
    Deno.writeFileSync(join(source, "file"), random(200_000));
    const first = await bench.backup();
    Deno.writeFileSync(join(source, "file"), random(200_000));
    assert.equal((await bench.backup()).code, 0);
    const forget = ["forget", first.summary.snapshot, "--profile", profile];
    assert.equal((await runClient(forget, { cwd: folder })).code, 0);
    const used = await runServer("usage", ...data);
    assert.equal(used.code, 0, used.stderr);
    const [vault, store] = used.stdout.trim().split("\n").map((line) => JSON.parse(line));
    const onDisk = listFiles(join(server.dataPath, "packs"))
      .map((name) => Deno.statSync(join(server.dataPath, "packs", name)).size);
    assert.deepEqual([vault.packs, vault.packBytes], [
      onDisk.length,
      onDisk.reduce((a, b) => a + b),
    ]);
    const journal = join(server.dataPath, "journal", vault.vault, "events");
    assert.equal(vault.journalBytes + 41, Deno.statSync(journal).size); // and its header
    assert.deepEqual([vault.snapshots, vault.held, vault.devices], [1, 1, 1]);
    assert.ok(vault.liveBytes > 400_000 && vault.deadBytes === vault.packBytes - vault.liveBytes);
    assert.deepEqual([store.event, store.classicFiles, store.diskFreeBytes], ["store", 0, null]);
    const text = await runServer("usage", "--data", server.dataPath, "--vault", vault.vault);
    assert.match(text.stdout, /snapshots {2}1 in force, 1 held; 1 devices\n$/);

    const to = join(folder, "copy.db");
    const copied = await runServer("backup-db", "--to", to, ...data);
    assert.equal(copied.code, 0, copied.stderr);
    const { size, mode } = Deno.statSync(to);
    assert.deepEqual([json(copied.stdout).bytes, mode! & 0o777], [size, 0o600]);
    const again = await runServer("backup-db", "--to", to, ...data);
    assert.deepEqual([again.code, /is there already/.test(again.stderr)], [1, true]);
    assert.equal((await runServer("backup-db", ...data)).code, 2);
    assert.deepEqual([...Deno.readDirSync(folder)].filter(({ name }) => name.includes("tmp")), []);
    await server.stop();
    for (const suffix of ["-wal", "-shm", ""]) {
      await Deno.remove(join(server.dataPath, `holdfast.db${suffix}`)).catch(() => {});
    }
    Deno.renameSync(to, join(server.dataPath, "holdfast.db"));
    const later = await runServer("usage", ...data);
    assert.equal(JSON.parse(later.stdout.split("\n")[0]).liveRecords, vault.liveRecords);
    await server.start();
    assert.equal((await bench.backup()).code, 0);
  });
});
