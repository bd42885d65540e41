/** Scrub: damage is found, named, and healed by the next backup. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RecordType } from "../../lib/record.ts";
import { checkContents, withBackupBench } from "../client/backup_fixture.ts";
import { runClient } from "../client/run_client.ts";
import { listFiles, runServer } from "../programs.ts";
import { makeRecord } from "./fixture.ts";
import { withStoreBench } from "./store_bench.ts";

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
function json(text: string): any {
  return JSON.parse(text.trim().split("\n")[0]);
}

/** Flips a byte in each pack. */
function rot(dataPath: string): number {
  const packs = listFiles(join(dataPath, "packs"));
  for (const name of packs) {
    const path = join(dataPath, "packs", name);
    const bytes = Deno.readFileSync(path);
    bytes[Math.floor(bytes.length / 3)] ^= 1;
    Deno.writeFileSync(path, bytes);
  }
  return packs.length;
}

Deno.test("a flipped byte is found by a scrub, healed by the next backup, and restored right", async () => {
  await withBackupBench(async (bench) => {
    const { server, source, profile, folder } = bench;
    for (let i = 0; i < 3; i++) {
      const bytes = crypto.getRandomValues(new Uint8Array(60_000));
      Deno.writeFileSync(join(source, `file${i}`), bytes);
    }
    const made = await bench.backup();
    assert.equal(made.code, 0, made.stderr);
    const data = ["--data", server.dataPath, "--json"];
    const clean = await runServer("scrub", ...data);
    assert.equal(clean.code, 0, clean.stderr);
    const packs = rot(server.dataPath);
    assert.deepEqual([json(clean.stdout).packs, json(clean.stdout).damaged], [packs, 0]);

    const found = await runServer("scrub", ...data);
    assert.equal(found.code, 5, found.stderr);
    assert.equal(json(found.stdout).damaged, packs);
    const again = json((await runServer("scrub", ...data)).stdout);
    assert.deepEqual([again.damaged, again.damagedInAll], [0, packs]);
    const check = await runClient(["check", "--profile", profile], { cwd: folder });
    assert.equal(check.code, 5, check.stderr);

    const healed = await bench.backup();
    assert.equal(healed.code, 0, healed.stderr);
    await checkContents(bench, healed.summary.snapshot);
    await checkContents(bench, made.summary.snapshot); // what it shares is whole again
    await server.stop();
    const alone = await runServer("scrub", ...data);
    assert.deepEqual([alone.code, json(alone.stdout).damagedInAll], [0, 0], alone.stderr);
  });
});

Deno.test("scrub goes on where it was left off, with what was not read for the longest time", async () => {
  await withStoreBench(async (bench) => {
    const device = await bench.member();
    for (let pack = 0; pack < 3; pack++) await device.put(makeRecord(RecordType.DATA));
    let steps = 0;
    const interrupted = bench.scrub(bench.clock.wall(), () => {
      if (++steps === 2) return Promise.reject(new Error("stopped"));
      return Promise.resolve();
    });
    await assert.rejects(interrupted, /stopped/);
    const rest = await bench.scrub(bench.clock.wall() - 60_000);
    assert.deepEqual([rest.packs, rest.damaged], [2, 0]);
    assert.equal((await bench.scrub(bench.clock.wall() - 60_000)).packs, 0);
    assert.equal((await bench.scrub(bench.clock.wall() + 60_000)).packs, 3);
  });
});

Deno.test("a pack that was brought back from a copy is right again after a scrub", async () => {
  await withStoreBench(async (bench) => {
    const device = await bench.member();
    const data = makeRecord(RecordType.DATA);
    const root = makeRecord(RecordType.ROOT, [data]);
    await device.put(data, root);
    assert.equal(await device.commit(root), 0);
    const path = join(bench.packsPath, bench.packNames[0]);
    const bytes = Deno.readFileSync(path);
    Deno.writeFileSync(path, bytes.map((byte, i) => i === 100 ? byte ^ 1 : byte));
    const later = () => {
      bench.clock.shiftMs += 60_000;
      return bench.scrub(bench.clock.wall());
    };
    const found = await later();
    assert.deepEqual([found.damaged, found.mended], [1, 0]);
    assert.deepEqual(await device.has(root), [false]);
    const still = await later();
    assert.deepEqual([still.damaged, still.mended], [0, 0]);
    Deno.writeFileSync(path, bytes);
    const mended = await later();
    assert.deepEqual([mended.damaged, mended.mended, mended.records], [0, 1, 2]);
    assert.deepEqual(await device.has(root), [true]);
    await bench.check(data, root);
  });
});

Deno.test("a sector that the disk cannot read costs its record only, and is healed", async () => {
  await withStoreBench(async (bench) => {
    const device = await bench.member();
    const records = [0, 1, 2].map(() => makeRecord(RecordType.DATA, [], 2000));
    await device.put(...records);
    const row = await bench.store.records.findRecord(bench.vault.number, records[1].id);
    const { blobs } = bench.store;
    const [bad] = bench.packNames;
    const read = blobs.read.bind(blobs);
    blobs.read = (name, offset, target) => {
      const isBad = name.endsWith(bad) && offset < row!.offset + 1000 &&
        offset + target.length > row!.offset + 900;
      if (!isBad) return read(name, offset, target);
      return Promise.reject(Object.assign(new Error("Input/output error"), { code: "EIO" }));
    };
    const scrubbed = await bench.scrub(bench.clock.wall() + 60_000);
    assert.deepEqual([scrubbed.packs, scrubbed.records, scrubbed.damaged], [1, 2, 1]);
    assert.deepEqual(await device.has(...records), [true, false, true]);
    assert.match(bench.logged, /disk cannot read/);
    await device.put(records[1]);
    await bench.check(...records);
    blobs.read = () => Promise.reject(new Error("too many open files"));
    await assert.rejects(bench.get(records[0]), /too many open files/); // says nothing about the record
  });
});
