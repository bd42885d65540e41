/** Backups that are cut off, and vaults that have lost something: the next backup is whole again. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runClient } from "./run_client.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import {
  type BackupBench,
  checkContents,
  settle,
  summarize,
  withBackupBench,
} from "./backup_fixture.ts";

const MIB = 1024 * 1024;
const LARGE_BYTES = 90 * MIB;

Deno.test("client backup ends at Ctrl-C with 130, and the next one goes on from there", async () => {
  await withBackupBench(async (bench) => {
    makeSource(bench.source);
    const child = bench.start();
    await waitForPacks(bench, 2);
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    assert.equal(code, 130, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stderr), /interrupted/);
    assert.deepEqual(listUnfinished(bench.profile), []);
    await checkNext(bench);
  });
});

Deno.test("client backup that was killed leaves what it has sent to the next one", async () => {
  await withBackupBench(async (bench) => {
    makeSource(bench.source);
    const child = bench.start();
    await waitForPacks(bench, 2);
    child.kill("SIGKILL");
    await child.output();
    await checkNext(bench);
  });
});

Deno.test("client backup goes on when the server was killed and is started again", async () => {
  await withBackupBench(async (bench) => {
    makeSource(bench.source);
    const running = bench.start();
    await waitForPacks(bench, 2);
    await bench.server.stop("SIGKILL");
    await bench.server.start();
    const { code, stdout, stderr } = await running.output();
    const decoder = new TextDecoder();
    assert.equal(code, 0, decoder.decode(stderr));
    const ran = summarize({ code, stdout: decoder.decode(stdout), stderr: "" });
    await checkContents(bench, ran.summary.snapshot);
  });
});

Deno.test("client backup heals what the server has lost, and reads no more than it must", async () => {
  await withBackupBench(async (bench) => {
    const { source, server, backup } = bench;
    makeSource(source);
    await settle();
    const first = await backup();
    await server.stop();
    const packs = listPacks(bench);
    Deno.removeSync(packs[Math.floor(packs.length / 2)]);
    await server.start();
    const second = await backup();
    assert.equal(second.code, 0, second.stderr);
    assert.ok(second.summary.bytesRead > 0, "something is read again");
    assert.ok(second.summary.bytesSent > 8 * MIB, "what was lost is sent");
    assert.ok(second.summary.bytesSent < 40 * MIB, `and no more: ${second.stdout}`);
    await checkContents(bench, second.summary.snapshot);
    const third = await backup();
    assert.equal(third.summary.bytesRead, 0);
    assert.notEqual(first.summary.snapshot, third.summary.snapshot);
  });
});

Deno.test("client backup believes no kept entries that somebody has changed", async () => {
  await withBackupBench(async (bench) => {
    const { source } = bench;
    Deno.writeFileSync(join(source, "one"), pseudoRandom(1000, 1));
    Deno.writeFileSync(join(source, "two"), pseudoRandom(300_000, 2));
    await settle();
    const profile = await addWriter(bench);
    const backup = () => bench.backup("--profile", profile);
    await backup();
    const [kept] = [...Deno.readDirSync(join(profile, "kept"))].map(({ name }) => name);
    const path = join(profile, "kept", kept);
    const bytes = Deno.readFileSync(path);
    for (const at of [20, 60, 200, Math.floor(bytes.length / 2), bytes.length - 10]) {
      const changed = bytes.slice();
      changed[at] ^= 1;
      Deno.writeFileSync(path, changed);
      const ran = await backup();
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(ran.summary.bytesRead, 301_000, `byte ${at}`);
      await checkContents(bench, ran.summary.snapshot);
    }
    for (const size of [0, 10, 100, bytes.length - 1]) {
      Deno.writeFileSync(path, bytes.subarray(0, size));
      assert.equal((await backup()).summary.bytesRead, 301_000, `${size} bytes`);
    }
    assert.equal((await backup()).summary.bytesRead, 0);
  });
});

Deno.test("client backup of a device that may read gets lost entries back from the server", async () => {
  await withBackupBench(async (bench) => {
    const { folder, source, profile, backup } = bench;
    Deno.writeFileSync(join(source, "one"), pseudoRandom(1000, 1));
    Deno.writeFileSync(join(source, "two"), pseudoRandom(300_000, 2));
    await settle();
    await backup();
    Deno.removeSync(join(profile, "kept"), { recursive: true });
    const fetched = await backup();
    assert.equal(fetched.summary.bytesRead, 0, fetched.stderr);
    await checkContents(bench, fetched.summary.snapshot);

    const writer = await addWriter(bench);
    const asWriter = ["--profile", writer];
    assert.equal((await backup(...asWriter)).summary.bytesRead, 301_000);
    assert.equal((await backup(...asWriter)).summary.bytesRead, 0);
    Deno.removeSync(join(writer, "kept"), { recursive: true });
    const again = await backup(...asWriter);
    assert.equal(again.summary.bytesRead, 301_000, "a writer cannot read its entries");
    assert.ok(again.summary.bytesSent < 20_000, "but sends nothing again");

    const permissions = ["--allow-net", "--allow-read"];
    const command = ["backup", source, "--profile", writer, "--json"];
    const ran = await runClient(command, { cwd: folder, permissions });
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stderr, /note: no permission to write/);
    assert.equal(summarize(ran).summary.bytesRead, 0);
  });
});

Deno.test("client restore gives back what client backup took", async () => {
  await withBackupBench(async ({ folder, source, profile, backup }) => {
    makeSource(source);
    Deno.linkSync(join(source, "medium"), join(source, "medium too"));
    Deno.symlinkSync("medium", join(source, "link"));
    const { summary } = await backup();
    const to = join(folder, "restored");
    const restore = ["restore", summary.snapshot, "--profile", profile, "--to", to];
    const permissions = ["--allow-net", "--allow-read", "--allow-write"];
    const ran = await runClient(restore, { cwd: folder, permissions });
    assert.equal(ran.code, 0, ran.stderr);
    const diff = new Deno.Command("diff", { args: ["-r", source, to + source] }).outputSync();
    assert.equal(diff.code, 0, new TextDecoder().decode(diff.stdout));
  });
});

Deno.test("client backup sends the rest of a record again when most of it is out of use", async () => {
  await withBackupBench(async (bench) => {
    const { source, backup } = bench;
    for (let i = 0; i < 40; i++) {
      Deno.writeFileSync(join(source, `file ${i}`), pseudoRandom(3000, i));
    }
    Deno.writeFileSync(join(source, "large"), pseudoRandom(3 * MIB, 1)); // 2 % are 63,000 bytes
    await settle();
    await backup();
    for (let i = 0; i < 38; i++) {
      Deno.writeFileSync(join(source, `file ${i}`), pseudoRandom(3000, 100 + i));
    }
    await settle();
    const changed = await backup();
    assert.equal(changed.summary.bytesRead, 38 * 3000);
    const resent = await backup();
    assert.deepEqual(resent.summary.files, { new: 0, changed: 0, unchanged: 41 });
    assert.equal(resent.summary.bytesRead, 2 * 3000);
    await checkContents(bench, resent.summary.snapshot);
    assert.equal((await backup()).summary.bytesRead, 0);
  });
});

/** A device that may only write. @returns its profile */
async function addWriter({ folder, profile }: BackupBench): Promise<string> {
  const invited = await runClient(["invite", "--profile", profile], { cwd: folder });
  const writer = join(folder, "writer");
  const init = ["init", invited.stdout.trim(), "--profile", writer];
  const { code, stderr } = await runClient(init, { cwd: folder });
  assert.equal(code, 0, stderr);
  return writer;
}

function makeSource(source: string): void {
  Deno.writeFileSync(join(source, "large"), pseudoRandom(LARGE_BYTES, 5));
  for (let i = 0; i < 400; i++) {
    Deno.writeFileSync(join(source, `small ${i}`), pseudoRandom(20_000 + i, i));
  }
  Deno.writeFileSync(join(source, "medium"), pseudoRandom(20 * MIB, 6));
}

/** The next backup is whole, and sends less than everything. */
async function checkNext(bench: BackupBench): Promise<void> {
  const { summary, code, stderr } = await bench.backup();
  assert.equal(code, 0, stderr);
  assert.ok(summary.bytesSent < summary.bytes - 20 * MIB, JSON.stringify(summary));
  await checkContents(bench, summary.snapshot);
}

function listPacks({ server }: BackupBench): string[] {
  const folder = join(server.dataPath, "packs");
  const packs: string[] = [];
  try {
    for (const vault of Deno.readDirSync(folder)) {
      for (const { name } of Deno.readDirSync(join(folder, vault.name))) {
        if (!/tmp|part|open/.test(name)) packs.push(join(folder, vault.name, name));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return packs.sort();
}

function listUnfinished(profile: string): string[] {
  const folder = join(profile, "kept");
  if (!existsSync(folder)) return [];
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
    name.endsWith(".tmp")
  );
}

async function waitForPacks(bench: BackupBench, count: number): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (listPacks(bench).length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("the server has made no packs");
}
