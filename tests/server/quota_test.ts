/** Quotas: each names itself, and what is there stays. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UpkeepDatabase } from "../../lib/db_upkeep.ts";
import { EventKind } from "../../lib/journal.ts";
import { encodeDevice } from "../../lib/journal_body.ts";
import { RecordType } from "../../lib/record.ts";
import { type Quota, VaultQuota, writeQuota } from "../../lib/server/quota.ts";
import { runClient } from "../client/run_client.ts";
import { withBackupBench } from "../client/backup_fixture.ts";
import { runServer } from "../programs.ts";
import { deviceB, makeRecord, random } from "./fixture.ts";
import { type StoreBench, withStoreBench } from "./store_bench.ts";

async function setQuota(bench: StoreBench, quota: Quota): Promise<void> {
  await writeQuota(bench.store.db, bench.vault.id.toHex(), quota);
  bench.clock.shiftMs += 2000; // it is looked up anew
}

Deno.test("a quota of bytes refuses what is new, and takes what is there", async () => {
  await withStoreBench(async (bench) => {
    const device = await bench.member();
    const [first, second] = [0, 1].map(() => makeRecord(RecordType.ROOT, [], 5000));
    await setQuota(bench, { bytes: 8000 });
    await device.put(first);
    await assert.rejects(device.put(second), /quota of 7.8 KiB is used up/);
    await device.put(first);
    assert.equal(await device.commit(first), 0);
    await setQuota(bench, { bytes: 16_000 });
    await device.put(second);
    await bench.check(first, second);
  });
});

Deno.test("quotas of snapshots and devices refuse the next one", async () => {
  await withStoreBench(async (bench) => {
    const device = await bench.member();
    const [first, second] = [0, 1].map(() => makeRecord(RecordType.ROOT));
    await device.put(first, second);
    await setQuota(bench, { snapshots: 1, devices: 1 });
    assert.equal(await device.commit(first), 0);
    await assert.rejects(device.commit(second), /quota of 1 snapshots, held ones included,/);
    const body = encodeDevice({ role: 1, keys: deviceB.publicKey, sealedName: random(20) });
    const statement = await bench.sign(EventKind.DEVICE, body);
    await assert.rejects(device.member.append(statement), /quota of 1 devices is used up/);
    await setQuota(bench, {});
    await device.member.append(statement);
    await setQuota(bench, { devices: 1 });
    await device.member.append(statement); // the answer was lost
    assert.equal(await device.commit(second), 0);
  });
});

Deno.test("a device waits for its rate, on all connections together, and others do not", async () => {
  await withStoreBench(async (bench) => {
    const MIB = 1024 * 1024;
    await setQuota(bench, { rate: 2 * MIB });
    let nowMs = 10_000;
    const waits: number[] = [];
    const { vault, store, db } = bench;
    const quota = new VaultQuota({
      ...{ vault, db: store.db, upkeep: new UpkeepDatabase(db.sql) },
      clock: { wall: () => nowMs, elapsed: () => nowMs },
      sleep: async (ms) => void waits.push(ms),
    });
    const [one, other] = [random(16), random(16)];
    for (let n = 0; n < 4; n++) await quota.pace(one, MIB); // as from four connections at once
    await quota.pace(other, MIB);
    assert.deepEqual(waits, [500]); // a second's worth goes at once
    nowMs += 10_000;
    await quota.pace(one, 4 * MIB);
    await quota.pace(one, MIB);
    assert.deepEqual(waits, [500, 1000]); // what was not used long ago is gone
    await writeQuota(store.db, vault.id.toHex(), {});
    nowMs += 2000;
    await quota.pace(one, 100 * MIB);
    await quota.pace(one, 100 * MIB);
    assert.equal(waits.length, 2);
  });
});

Deno.test("server quota, vaults and hold work beside a running server", async () => {
  await withBackupBench(async (bench) => {
    const { server, source, profile, folder } = bench;
    Deno.writeFileSync(join(source, "file"), random(200_000));
    const made = await bench.backup();
    assert.equal(made.code, 0, made.stderr);
    const data = ["--data", server.dataPath, "--json"];
    const listed = await runServer("vaults", ...data);
    const vault = JSON.parse(listed.stdout);
    assert.deepEqual([vault.event, vault.damaged, vault.quota], ["vault", 0, {}]);
    assert.ok(vault.bytes > 200_000 && vault.records > 3 && vault.events > 1, listed.stdout);
    const set = await runServer("quota", vault.id.slice(0, 8), "--bytes", "256KiB", ...data);
    assert.deepEqual(JSON.parse(set.stdout), { event: "quota", vault: vault.id, bytes: 262_144 });
    Deno.writeFileSync(join(source, "more"), random(200_000));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const refused = await bench.backup();
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /quota of 256.0 KiB is used up/);
    const restore = ["restore", "latest", "--to", join(folder, "out"), "--profile", profile];
    assert.equal((await runClient(restore, { cwd: folder })).code, 0);
    await runServer("quota", vault.id, "--bytes", "none", ...data);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal((await bench.backup()).code, 0);
    const hold = await runServer("hold", "--extra", "30d", ...data);
    assert.equal(JSON.parse(hold.stdout).extraHoldMs, 30 * 24 * 3600 * 1000);
    assert.equal((await runServer("hold", "--extra", "none", ...data)).code, 0);
    assert.equal((await runServer("quota", ...data)).code, 2);
    assert.equal((await runServer("quota", vault.id, "--rate", "1KiB", ...data)).code, 2);
    const rated = await runServer("quota", vault.id, "--rate", "10MiB", ...data);
    assert.equal(JSON.parse(rated.stdout).rate, 10 * 1024 * 1024);
    Deno.writeFileSync(join(source, "last"), random(200_000));
    assert.equal((await bench.backup()).code, 0);
  });
});
