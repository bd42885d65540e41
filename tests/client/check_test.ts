import assert from "node:assert/strict";
import { IdFilter } from "../../lib/client/id_filter.ts";
import { hmac } from "../../lib/kdf.ts";
import { idOf, pseudoRandom } from "../vault/fixture.ts";
import { dir, file, type TestEntry, withVault } from "./vault_fixture.ts";

function events(stdout: string): Record<string, unknown>[] {
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("check finds nothing wrong with a sound vault, and reads as much as it is told", async () => {
  await withVault(async (vault) => {
    const entries: TestEntry[] = [dir("/data")];
    for (let i = 0; i < 40; i++) entries.push(file(`/data/${i}`, pseudoRandom(3000, i)));
    entries.push(file("/data/list", pseudoRandom(60_000, 99), { pieceBytes: 50 }));
    await vault.snapshot(entries);
    await vault.snapshot([...entries, file("/data/new", "new")]);
    const reads: number[] = [];
    for (const flags of [[], ["--read-data=30%"], ["--read-data"]]) {
      const ran = await vault.run("check", "--json", ...flags);
      assert.equal(ran.code, 0, ran.stderr);
      const { snapshots, damaged, present, read } = events(ran.stdout)[0];
      assert.deepEqual([snapshots, damaged, Number(present) + Number(read)], [2, 0, 1241]);
      reads.push(Number(read));
    }
    assert.equal(reads[0], 0);
    assert.ok(reads[1] > 200 && reads[1] < 560, `${reads[1]}`);
    assert.equal(reads[2], 1241);
    const bad = await vault.run("check", "--read-data=0%");
    assert.equal(bad.code, 2);
  });
});

Deno.test("check reads contents whose keys are of an earlier backup", async () => {
  await withVault(async (vault) => {
    const names = Array.from({ length: 40 }, (_, i) => `/data/${i}`);
    const bytes = names.map((_, i) => pseudoRandom(3000, i));
    await vault.snapshot([dir("/data"), ...names.map((name, i) => file(name, bytes[i]))]);
    const kept = names.map((path) => {
      const [reference] = vault.references.get(path)!;
      return { path, size: 3000, extents: [{ reference, offset: 0, length: 3000 }] };
    });
    const second = await vault.snapshot([dir("/data"), ...kept]);
    const ran = await vault.run("check", "--json", "--read-data", second.slice(0, 12));
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(events(ran.stdout)[0].read, 40);
  });
});

Deno.test("check names what is damaged by snapshot and path", async () => {
  await withVault(async (vault) => {
    const entries = [
      dir("/data"),
      file("/data/gone", "gone"),
      file("/data/good", "good"),
      file("/data/list", pseudoRandom(60_000, 99), { pieceBytes: 50 }),
      file("/data/rotten", "rotten"),
    ];
    const first = await vault.snapshot(entries);
    const second = await vault.snapshot([...entries, file("/data/zzz", "z")]);
    const id = (path: string, i = 0) => vault.references.get(path)![i].id.toHex();
    const [gone, rotten, piece] = [id("/data/gone"), id("/data/rotten"), id("/data/list", 700)];
    vault.server.records.delete(gone);
    vault.server.records.delete(piece);
    vault.server.lies.record = (id, record) =>
      id.toHex() === rotten ? record!.map((byte, i) => i === 10 ? byte ^ 4 : byte) : record;
    const fast = await vault.run("check", "--json");
    assert.equal(fast.code, 5);
    const paths = (stdout: string, snapshot: string) =>
      events(stdout).filter((event) => event.snapshot === snapshot).map(({ path }) => path).sort();
    for (const snapshot of [first, second]) {
      assert.deepEqual(paths(fast.stdout, snapshot), ["/data/gone", "/data/list"]);
    }
    const full = await vault.run("check", "--json", "--read-data", second.slice(0, 12));
    assert.equal(full.code, 5);
    assert.deepEqual(paths(full.stdout, first), []);
    assert.deepEqual(paths(full.stdout, second), ["/data/gone", "/data/list", "/data/rotten"]);

    // A root that is lost costs its snapshot, and no other.
    vault.server.records.delete(first);
    const lost = await vault.run("check");
    assert.equal(lost.code, 5);
    assert.match(
      lost.stdout,
      new RegExp(`damaged: ${first.slice(0, 12)} /: nothing of this snapshot`),
    );
    const table = await vault.run("snapshots");
    assert.equal(table.code, 5);
    assert.match(table.stdout, new RegExp(`^${second.slice(0, 12)} `, "m"));
  });
});

Deno.test("IdFilter never finds what was not added, and forgets only when it is full", () => {
  const filter = new IdFilter(4096);
  for (let i = 0; i < 1000; i++) filter.add(idOf(i));
  for (let i = 0; i < 1000; i++) assert.ok(filter.has(idOf(i)));
  for (let i = 1000; i < 100_000; i++) {
    const id = hmac(Uint8Array.of(7), new Uint8Array(new Uint32Array([i]).buffer));
    assert.ok(!filter.has(id));
    filter.add(id);
    assert.ok(filter.has(id));
  }
  assert.throws(() => new IdFilter(1000), RangeError);
});
