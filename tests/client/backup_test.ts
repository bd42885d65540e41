import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import { sortRoots } from "../../lib/client/scan.ts";
import { BACKUP } from "../../lib/limits.ts";
import { comparePaths } from "../../lib/vault/path_order.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import { checkContents, settle, viewSnapshot, withBackupBench } from "./backup_fixture.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Sizes at the bounds of small files, of records and of chunks. */
const SIZES = [
  ...[0, 1, 64 * KIB, 128 * KIB - 1, 128 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1],
  ...[512 * KIB, 1 * MIB, 4 * MIB - 128 * KIB, 4 * MIB - 128 * KIB + 1, 25 * MIB + 7],
];

Deno.test("client backup stores what is there, and of an unchanged tree reads and sends nothing", async () => {
  await withBackupBench(async (bench) => {
    const { source, backup, profile } = bench;
    makeTree(source);
    await settle();
    const first = await backup("--tag", "one");
    assert.equal(first.code, 3, first.stderr); // of the pipe
    assert.match(first.stderr, /skipped .*pipe.*: it is a pipe/);
    await checkContents(bench, first.summary.snapshot);
    await viewSnapshot(profile, first.summary.snapshot, ({ root, entries }) => {
      assert.deepEqual(root.paths, [source]);
      assert.deepEqual(root.tags, ["one"]);
      assert.equal(root.skipped, 1);
      const paths = [...entries.keys()];
      assert.deepEqual(paths, paths.toSorted(comparePaths));
      assert.ok(entries.has("/") && entries.has(dirname(source)), "folders above are there");
      assert.equal(entries.get(join(source, "link"))?.target, "nowhere/at all");
      assert.equal(entries.get(join(source, "empty"))?.type, "dir");
      const [one, two] = ["hard1", "hard2"].map((name) => entries.get(join(source, name))!);
      assert.equal(one.nlink, 2);
      assert.equal(one.inode, two.inode);
      assert.deepEqual(one.extents, two.extents);
      assert.equal(entries.get(join(source, "mode"))?.mode, 0o640);
      assert.equal(entries.get(join(source, "mode"))?.mtimeMs, 1_600_000_000_123);
      return Promise.resolve();
    });

    const second = await backup();
    assert.equal(second.summary.bytesRead, 0);
    assert.deepEqual(second.summary.files, { ...second.summary.files, new: 0, changed: 0 });
    assert.ok(second.summary.bytesSent < first.summary.bytesSent / 1000, second.stdout);
    await checkContents(bench, second.summary.snapshot);

    Deno.writeTextFileSync(join(source, "more"), "more");
    const third = await backup();
    assert.equal(third.summary.files.new, 1);
    assert.equal(third.summary.bytesRead, 4);
  });
});

Deno.test("client backup goes on where few files have changed among more than may wait for them", async () => {
  await withBackupBench(async (bench) => {
    const { source, backup } = bench;
    const count = 3 * BACKUP.waitingEntriesMax;
    const step = BACKUP.waitingEntriesMax / 4;
    const name = (i: number) => join(source, `f${String(i).padStart(6, "0")}`);
    for (let i = 0; i < count; i++) {
      Deno.writeTextFileSync(name(i), i % step === 0 ? `${i}` : "");
    }
    Deno.writeFileSync(name(step), pseudoRandom(300 * KIB, 1)); // one that is read by itself
    await settle();
    const first = await backup();
    assert.equal(first.summary.files.new, count, first.stderr);
    for (let i = 0; i < count; i += 2 * step) Deno.writeTextFileSync(name(i), `${i} is another`);
    Deno.writeFileSync(name(step), pseudoRandom(300 * KIB, 2));
    const second = await backup();
    assert.equal(second.code, 0, second.stderr);
    const changed = count / step / 2 + 1;
    assert.deepEqual(second.summary.files, { new: 0, changed, unchanged: count - changed });
    await checkContents(bench, second.summary.snapshot);
  });
});

Deno.test("client backup stores the same with workers and without", async () => {
  await withBackupBench(async ({ source, backup, ...bench }) => {
    const bytes = [BACKUP.hugeFileBytes + 5, ...Array<number>(20).fill(600 * KIB)];
    for (let i = 0; i < 200; i++) bytes.push(64 * KIB + i);
    const name = (i: number) => join(source, `f${i}`);
    bytes.forEach((size, i) => Deno.writeFileSync(name(i), pseudoRandom(size, i)));
    await settle();
    const first = await backup("--workers", "0");
    assert.equal(first.code, 0, first.stderr);
    bytes.forEach((_, i) => Deno.utimeSync(name(i), i, i));
    const second = await backup("--workers", "2");
    assert.equal(second.code, 0, second.stderr);
    assert.equal(second.summary.bytesRead, first.summary.bytesRead);
    assert.ok(second.summary.bytesSent < 200 * KIB, second.stdout); // entries
    await checkContents({ source, backup, ...bench }, second.summary.snapshot);
    const wrong = await backup("--workers", "5");
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--workers: Cannot read number "5"[^]*from 0 to 4/);
  });
});

Deno.test("client backup sends little of a large file with one byte more at its front", async () => {
  await withBackupBench(async ({ source, backup, profile }) => {
    const path = join(source, "large");
    const bytes = pseudoRandom(80 * MIB, 7); // large enough to be cut in the main thread
    Deno.writeFileSync(path, bytes);
    const first = await backup();
    assert.equal(first.code, 0, first.stderr);
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes, 1);
    Deno.writeFileSync(path, longer);
    const second = await backup();
    assert.equal(second.summary.files.changed, 1);
    // The cut points are the vault's own: the first chunk or two, of up to 4 MiB, are new.
    assert.ok(second.summary.bytesSent < 12 * MIB, second.stdout);
    await viewSnapshot(profile, second.summary.snapshot, async ({ contents }) => {
      assert.ok(equal(await contents(path), longer));
    });
  });
});

Deno.test("client backup makes holes of what is zero, wherever it is", async () => {
  await withBackupBench(async ({ source, backup, profile }) => {
    const path = join(source, "sparse");
    const file = Deno.openSync(path, { write: true, create: true });
    const data = pseudoRandom(300 * KIB, 3);
    for (const offset of [5 * MIB + 11, 40 * MIB, 2047 * MIB]) {
      file.seekSync(offset, Deno.SeekMode.Start);
      file.writeSync(data);
    }
    file.truncateSync(2200 * MIB);
    file.close();
    Deno.writeFileSync(join(source, "zeros"), new Uint8Array(3 * MIB));
    const { summary, code } = await backup();
    assert.equal(code, 0);
    assert.ok(summary.bytesSent < 4 * MIB, `${summary.bytesSent} sent`);
    await viewSnapshot(profile, summary.snapshot, async ({ entries, contents }) => {
      const bytes = await contents(path);
      assert.equal(bytes.length, 2200 * MIB);
      for (const offset of [5 * MIB + 11, 40 * MIB, 2047 * MIB]) {
        assert.ok(equal(bytes.subarray(offset, offset + data.length), data), `${offset}`);
      }
      const { extents } = entries.get(join(source, "zeros"))!;
      assert.deepEqual(extents, [{ offset: 0, length: 3 * MIB }]);
    });
  });
});

Deno.test("client backup leaves out what it is told to, and the profile", async () => {
  await withBackupBench(async ({ folder, source, backup, profile }) => {
    for (
      const path of ["a/keep.txt", "a/drop.log", "node_modules/x/y", "build/out", "b/build/out"]
    ) {
      Deno.mkdirSync(join(source, dirname(path)), { recursive: true });
      Deno.writeTextFileSync(join(source, path), path);
    }
    Deno.renameSync(profile, join(source, "profile"));
    const patterns = join(folder, "patterns");
    Deno.writeTextFileSync(patterns, "/build/\n*.log\n");
    const { summary, stderr } = await backup(
      ...["--exclude", "node_modules", "--exclude-file", patterns],
      ...["--profile", join(source, "profile")],
    );
    assert.ok(summary, stderr);
    await viewSnapshot(join(source, "profile"), summary.snapshot, ({ entries }) => {
      const names = [...entries.keys()].filter((path) => path.startsWith(source + "/"))
        .map((path) => path.slice(source.length + 1));
      assert.deepEqual(names, ["a", "a/keep.txt", "b", "b/build", "b/build/out"]);
      return Promise.resolve();
    });
  });
});

Deno.test("client backup --dry-run shows what would be read, without a server", async () => {
  await withBackupBench(async ({ server, source, backup }) => {
    Deno.writeTextFileSync(join(source, "old"), "old");
    await settle();
    await backup();
    Deno.writeTextFileSync(join(source, "new"), "new");
    await server.stop();
    const { stdout, code } = await backup("--dry-run");
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {
      event: "would read",
      path: join(source, "new"),
      size: 3,
      state: "new",
    });
    assert.equal((await backup()).code, 6);
  });
});

function makeTree(source: string): void {
  for (const [index, size] of SIZES.entries()) {
    Deno.writeFileSync(join(source, `size ${index}`), pseudoRandom(size, index));
  }
  const deep = join(source, ...Array.from({ length: 40 }, (_, i) => `deep folder ${i}`));
  Deno.mkdirSync(deep, { recursive: true });
  Deno.writeTextFileSync(join(deep, "file"), "deep");
  for (const name of ["a.b", "a", "a-b", "ä", "\u{1f600}", "\uffee", "new\nline", "-rf", " "]) {
    Deno.mkdirSync(join(source, "names", name), { recursive: true });
    Deno.writeTextFileSync(join(source, "names", name, name), name);
  }
  Deno.mkdirSync(join(source, "empty"));
  Deno.symlinkSync("nowhere/at all", join(source, "link"));
  Deno.writeTextFileSync(join(source, "hard1"), "one file");
  Deno.linkSync(join(source, "hard1"), join(source, "hard2"));
  Deno.writeTextFileSync(join(source, "mode"), "mode");
  Deno.chmodSync(join(source, "mode"), 0o640);
  Deno.utimeSync(join(source, "mode"), new Date(1_600_000_000_123), new Date(1_600_000_000_123));
  new Deno.Command("mkfifo", { args: [join(source, "pipe")] }).outputSync();
  for (let i = 0; i < 3000; i++) {
    if (i % 100 === 0) Deno.mkdirSync(join(source, `many/${i / 100}`), { recursive: true });
    Deno.writeTextFileSync(
      join(source, `many/${Math.floor(i / 100)}/${i}`),
      `file ${i}`.repeat(i % 50),
    );
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

Deno.test("sortRoots() drops paths that lie in others", () => {
  const roots = sortRoots(["/b", "/a.b", "/a", "/a/c", "/b"]);
  assert.deepEqual(roots, ["/a", "/a.b", "/b"]);
});
