import assert from "node:assert/strict";
import { join } from "node:path";
import { UPKEEP } from "../../lib/limits.ts";
import type { Usage } from "../../lib/protocol_v4_usage.ts";
import { type Fields, withDevices } from "./device_bench.ts";
import { file, type SnapshotOptions, type VaultFixture, withVault } from "./vault_fixture.ts";

const DAY_MS = 24 * 3600 * 1000;
const HEALTHY: Usage = {
  ...{ storedBytes: 5000, records: 12, condemned: 1, damaged: 0, collectedMs: 0 },
  ...{ packs: 3, unread: 1, oldestReadMs: Date.now() - 3 * DAY_MS, quota: { bytes: 1 << 30 } },
};

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function parse(stdout: string): Record<string, Fields> {
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  return Object.fromEntries(lines.map((line) => [line.event, line]));
}

/** A snapshot whose commit the server says came so long ago. Not younger than what is there. */
async function snapshotAgo(
  vault: VaultFixture,
  ageMs: number,
  content: string,
  options: SnapshotOptions = {},
): Promise<string> {
  vault.server.now = () => Date.now() - ageMs;
  const id = await vault.snapshot([file("/data", content)], options);
  vault.server.now = Date.now;
  return id;
}

/** A vault that was founded ten days ago. */
function withOldVault(test: (vault: VaultFixture) => Promise<void>): Promise<void> {
  const now = Date.now;
  Date.now = () => now() - 10 * DAY_MS; // of this process: of the server, not of the client
  return withVault(async (vault) => {
    Date.now = now;
    vault.server.now = now;
    await test(vault);
  }).finally(() => Date.now = now);
}

Deno.test("status shows the age of the newest backup, and judges it by --max-age", async () => {
  await withOldVault(async (vault) => {
    vault.server.usage = HEALTHY;
    const bare = await vault.run("status", "--max-age", "1d");
    assert.equal(bare.code, 0, bare.stderr); // an owner need not make backups
    await snapshotAgo(vault, 5 * DAY_MS, "old");
    const newest = await snapshotAgo(vault, 3 * DAY_MS, "new");
    const shown = await vault.run("status", "--max-age", "4d");
    assert.equal(shown.code, 0, shown.stderr);
    const lines = shown.stdout.split("\n");
    assert.match(
      lines[1],
      RegExp(`^20.* {2}3 days .*${newest.slice(0, 12)} +2 +owner +tester +/d`),
    );
    assert.ok(lines.includes("keep: everything") && lines.includes("hold: 7 days"));
    assert.ok(lines.includes("  stored: 4.9 KiB in 12 records, 1 not needed"));
    assert.ok(lines.includes("  quota: 1.0 GiB") && lines.includes("  damaged: nothing known"));
    assert.match(shown.stdout, /packs: 3; 1 were not read back since, the one longest ago 3 days/);

    const late = await vault.run("status", "--max-age", "36h", "--json");
    assert.equal(late.code, 3, late.stderr);
    const { device, server, summary } = parse(late.stdout);
    assert.equal(device.sets[0].snapshot, newest);
    assert.equal(Math.round(device.sets[0].ageSeconds / 3600), 72);
    assert.deepEqual([device.isOverdue, device.sets[0].paths], [true, ["/data"]]);
    assert.equal(server.usage.quota.bytes, 1 << 30);
    assert.deepEqual(summary.overdue, ["the newest good backup of tester is 3 days old"]);
    assert.match(late.stderr, /^overdue: the newest good backup of tester is 3 days old$/m);
    assert.equal((await vault.run("status", "--max-age", "soon")).code, 2);
    assert.equal((await vault.run("status", "--each-set")).code, 2);
    assert.equal((await vault.run("status", "--device", "nobody")).code, 2);
  });
});

Deno.test("--each-set judges each set of paths of a device by itself", async () => {
  await withOldVault(async (vault) => {
    vault.server.usage = HEALTHY;
    await snapshotAgo(vault, 4 * DAY_MS, "one", { paths: ["/one"] });
    await snapshotAgo(vault, 3 * DAY_MS, "two", { paths: ["/two", "/three"] });
    await snapshotAgo(vault, 3600_000, "one", { paths: ["/one"] });
    const whole = await vault.run("status", "--max-age", "1d", "--json");
    assert.equal(whole.code, 0, whole.stderr);
    assert.deepEqual(
      parse(whole.stdout).device.sets.map((set: Fields) => [set.paths, set.snapshots]),
      [[["/one"], 2], [["/two", "/three"], 1]],
    );
    const each = await vault.run("status", "--max-age", "1d", "--each-set");
    assert.equal(each.code, 3, each.stderr);
    assert.match(each.stderr, /^overdue: the newest .* of tester of \/two,\/three is 3 days old$/m);
    assert.doesNotMatch(each.stderr, /of \/one/);
  });
});

Deno.test("a server whose clock stands still does not make backups look young", async () => {
  await withOldVault(async (vault) => {
    vault.server.usage = HEALTHY;
    await snapshotAgo(vault, 3 * DAY_MS, "old");
    vault.server.now = () => Date.now() - 3 * DAY_MS + 60_000;
    const late = await vault.run("status", "--max-age", "1d");
    assert.equal(late.code, 3, late.stdout);
    assert.match(late.stderr, /the server's clock is 2 days behind this machine's/);
  });
});

Deno.test("a snapshot that is not whole is no good one, whoever says so", async () => {
  await withOldVault(async (vault) => {
    vault.server.usage = HEALTHY;
    const good = await snapshotAgo(vault, 5 * DAY_MS, "good");
    const missing = await snapshotAgo(vault, 4 * DAY_MS, "missing");
    const false_ = await snapshotAgo(vault, 3 * DAY_MS, "false");
    vault.server.records.delete(missing);
    // The server says that it is there, and gives something else.
    vault.server.records.get(false_)![100] ^= 1;
    const shown = await vault.run("status", "--max-age", "4d", "--json");
    assert.equal(shown.code, 5, shown.stderr);
    const { device, summary } = parse(shown.stdout);
    assert.deepEqual([device.sets[0].snapshot, device.sets[0].broken], [good, 2]);
    assert.deepEqual(summary.damage, ["2 of the newest snapshots of tester are damaged"]);
  });
});

Deno.test("an older server, which knows no STATUS, costs only what it would say", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([file("/data", "new")]);
    const shown = await vault.run("status", "--max-age", "1d");
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /\/data\n/);
    assert.match(shown.stdout, /by the server's word: nothing, it is an older version/);
    assert.equal(parse((await vault.run("status", "--json")).stdout).server.usage, null);
    vault.server.usage = { ...HEALTHY, damaged: 1 };
    const damaged = await vault.run("status");
    assert.equal(damaged.code, 5, damaged.stdout);
    assert.match(damaged.stderr, /^damaged: 1 record is damaged; "client check" names the files$/m);
  });
});

Deno.test("each device has its own lines, and one that is revoked has none", async () => {
  await withDevices(async (bench) => {
    for (const name of ["laptop", "thief", "idle"]) await bench.join(name, "writer");
    const [one, two] = ["one", "two"].map((name) => bench.write(name, { a: name }));
    await bench.must("laptop", "backup", one);
    await bench.must("laptop", "backup", two);
    await bench.must("thief", "backup", two);
    await bench.must("owner", "devices", "revoke", "thief");
    await bench.must("laptop", "backup", two);
    const shown = await bench.run("owner", "status", "--json", "--max-age", "1ms", "--each-set");
    assert.equal(shown.code, 3, shown.stderr);
    const lines = shown.stdout.trim().split("\n").map((line) => JSON.parse(line));
    const devices = lines.filter(({ event }) => event === "device");
    assert.deepEqual(devices.map(({ name, isOverdue }) => [name, isOverdue]), [
      ...[["owner", false], ["laptop", true], ["idle", true]],
    ]);
    assert.deepEqual(devices[1].sets.map((set: Fields) => [set.paths, set.snapshots]), [
      ...[[[two], 2], [[one], 1]],
    ]);
    const { vault, summary } = parse(shown.stdout);
    assert.deepEqual([vault.devices, vault.revoked, vault.snapshots], [3, 1, 4]);
    assert.equal(summary.overdue.length, 3);
    assert.match(summary.overdue[1], RegExp(`laptop of ${one} is \\d+ s old`));
    assert.equal(summary.overdue[2], "idle has never made a backup");
    assert.equal((await bench.run("owner", "status", "--device", "thief")).code, 2); // it is out
    // What a writer sees: the same but for the paths. Judged as a whole the laptop is in time.
    const args = ["--json", "--max-age", "1h", "--device", "laptop"];
    const own = await bench.json("idle", "status", ...args);
    assert.deepEqual(own.map(({ event }) => event), ["device", "vault", "server", "summary"]);
    assert.deepEqual([own[0].sets.length, own[0].sets[0].paths], [2, undefined]);
    assert.ok(own[2].usage.records > 5 && own[2].usage.storedBytes > 1000);
  });
});

Deno.test("damage at the server shows in status, and the backup that heals it clears it", async () => {
  await withDevices(async (bench) => {
    const source = bench.write("source", { big: crypto.getRandomValues(new Uint8Array(60_000)) });
    const [first] = await bench.json("owner", "backup", source);
    const packs = join(bench.server.dataPath, "packs");
    const [vault] = [...Deno.readDirSync(packs)];
    const folder = join(packs, vault.name);
    const [pack] = [...Deno.readDirSync(folder)];
    const bytes = Deno.readFileSync(join(folder, pack.name));
    bytes[20_000] ^= 1;
    Deno.writeFileSync(join(folder, pack.name), bytes);
    assert.equal((await bench.run("owner", "status")).code, 0); // nobody has looked yet
    await bench.server.run("scrub");
    await wait(UPKEEP.usageMs); // the server counts now and then
    const shown = await bench.run("owner", "status", "--json");
    assert.equal(shown.code, 5, shown.stderr);
    const { device, server, summary } = parse(shown.stdout);
    assert.deepEqual([device.sets[0].snapshot, device.sets[0].broken], [undefined, 1]);
    assert.deepEqual([server.usage.damaged, server.usage.unread], [1, 0]);
    assert.equal(summary.damage.length, 2);
    assert.match((await bench.run("owner", "status")).stderr, /newest snapshots of owner are dam/);
    const late = await bench.run("owner", "status", "--max-age", "1d");
    assert.equal(late.code, 5);
    assert.match(late.stderr, /^overdue: owner has no good backup$/m);
    await bench.must("owner", "backup", source);
    await wait(UPKEEP.usageMs);
    const healed = await bench.json("owner", "status", "--max-age", "1d");
    assert.notEqual(healed[0].sets[0].snapshot, first.snapshot);
    assert.equal(healed[0].sets[0].broken, 0);
  });
});
