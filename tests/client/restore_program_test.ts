/** Backups and restores with both real programs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pseudoRandom } from "../vault/fixture.ts";
import { type BackupBench, withBackupBench } from "./backup_fixture.ts";
import { type Ran, runClient, startClient } from "./run_client.ts";

const MTIME_MS = Date.UTC(2021, 5, 6, 7, 8, 9, 123);

function makeTree(source: string): void {
  const time = new Date(MTIME_MS);
  for (let i = 0; i < 12; i++) {
    const folder = join(source, `folder ${i}`);
    Deno.mkdirSync(folder, { mode: 0o750 });
    for (let j = 0; j < 40; j++) {
      const path = join(folder, `file ${j}`);
      Deno.writeFileSync(path, pseudoRandom(i * 700 + j, i * 100 + j), { mode: 0o600 + j % 8 });
      Deno.utimeSync(path, time, new Date(MTIME_MS + i * 1000 + j));
    }
    Deno.utimeSync(folder, time, new Date(MTIME_MS + i));
  }
  Deno.mkdirSync(join(source, "empty"));
  Deno.symlinkSync("folder 1/file 2", join(source, "link"));
  Deno.linkSync(join(source, "folder 1/file 3"), join(source, "second name"));
  Deno.writeFileSync(join(source, "large"), pseudoRandom(18_000_000, 7));
  using sparse = Deno.openSync(join(source, "sparse"), { write: true, create: true });
  sparse.truncateSync(40_000_000);
  sparse.seekSync(30_000_000, Deno.SeekMode.Start);
  sparse.writeSync(new Uint8Array([1, 2, 3]));
}

/** Everything about a tree that a restore gives back, by path. */
function describe(folder: string, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    const info = Deno.lstatSync(path);
    const kind = info.isSymlink
      ? `-> ${Deno.readLinkSync(path)}`
      : info.isDirectory
      ? "folder"
      : "file";
    const contents = info.isFile ? Deno.readFileSync(path).toHex().slice(0, 2000) + info.size : "";
    const mode = info.isSymlink ? "" : (info.mode! & 0o7777).toString(8);
    found.set(prefix + name, `${kind} ${mode} ${info.mtime!.getTime()} ${info.nlink} ${contents}`);
    if (info.isDirectory) {
      for (const [key, value] of describe(path, `${prefix}${name}/`)) found.set(key, value);
    }
  }
  return found;
}

function client(bench: BackupBench, ...args: string[]): Promise<Ran> {
  return runClient([...args, "--profile", bench.profile], { cwd: bench.folder });
}

Deno.test("what client backup stores, client check finds right and client restore gives back", async () => {
  await withBackupBench(async (bench) => {
    makeTree(bench.source);
    const made = await bench.backup();
    assert.equal(made.code, 0, made.stderr);
    const checked = await client(bench, "check", "--read-data");
    assert.equal(checked.code, 0, checked.stderr + checked.stdout);
    const to = join(bench.folder, "out");
    const ran = await client(bench, "restore", "latest", "--to", to, "--verify");
    assert.equal(ran.code, 0, ran.stderr);
    const [before, after] = [describe(bench.source), describe(to + bench.source)];
    assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
    for (const [path, what] of before) assert.equal(after.get(path), what, path);
    assert.ok(Deno.lstatSync(join(to + bench.source, "sparse")).blocks! * 512 < 1_000_000);
    const again = await client(
      bench,
      "restore",
      "latest",
      "--to",
      to,
      "--overwrite",
      "changed",
      "--json",
    );
    assert.equal(again.code, 0, again.stderr);
    assert.equal(JSON.parse(again.stdout).bytes, 0);
  });
});

Deno.test("rot on the server's disk costs the files that it hits, and check names the same ones", async () => {
  await withBackupBench(async (bench) => {
    makeTree(bench.source);
    assert.equal((await bench.backup()).code, 0);
    await bench.server.stop("SIGKILL");
    rotPack(join(bench.server.dataPath, "packs"));
    await bench.server.start();
    const checked = await client(bench, "check", "--read-data", "--json");
    assert.equal(checked.code, 5, checked.stderr);
    const to = join(bench.folder, "out");
    const ran = await client(bench, "restore", "latest", "--to", to, "--json");
    assert.equal(ran.code, 5, ran.stderr);
    const damaged = pathsOf(ran.stdout, "failed");
    assert.ok(damaged.length > 0);
    assert.deepEqual(pathsOf(checked.stdout, "damage"), damaged);
    const [before, after] = [describe(bench.source), describe(to + bench.source)];
    const lost = [...before.keys()].filter((path) => !after.has(path));
    assert.deepEqual(lost.map((path) => join(bench.source, path)).sort(), damaged);
  });
});

Deno.test("restore goes on when the server comes back", async () => {
  await withBackupBench(async (bench) => {
    makeTree(bench.source);
    assert.equal((await bench.backup()).code, 0);
    const to = join(bench.folder, "out");
    const args = ["restore", "latest", "--to", to, "--profile", bench.profile];
    const child = startClient(args, { cwd: bench.folder });
    await child.stdin.close();
    const running = child.output();
    while (!isThere(to)) await new Promise((resolve) => setTimeout(resolve, 5));
    await bench.server.stop("SIGKILL");
    await bench.server.start();
    const { code, stderr } = await running;
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.deepEqual(describe(to + bench.source), describe(bench.source));
  });
});

function pathsOf(stdout: string, event: string): string[] {
  const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  return events.filter((line) => line.event === event).map(({ path }) => path).sort();
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Changes one byte in the middle of the largest pack. */
function rotPack(folder: string): void {
  let largest = { path: "", size: 0 };
  const look = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      const child = join(path, name);
      if (isDirectory) look(child);
      else if (Deno.statSync(child).size > largest.size) {
        largest = { path: child, size: Deno.statSync(child).size };
      }
    }
  };
  look(folder);
  using file = Deno.openSync(largest.path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(largest.size >> 1, Deno.SeekMode.Start);
  file.readSync(byte);
  byte[0] ^= 0x10;
  file.seekSync(largest.size >> 1, Deno.SeekMode.Start);
  file.writeSync(byte);
}
