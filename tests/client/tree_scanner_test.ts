import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { BACKUP } from "../../lib/limits.ts";
import { BackupTally } from "../../lib/client/backup_tally.ts";
import { decodeBatch, encodeBatch } from "../../lib/client/scan_batch.ts";
import { type Left, type Scanned, scanTree } from "../../lib/client/scan.ts";
import type { ScanPlan } from "../../lib/client/scan_worker.ts";
import { lookAtAll, TreeScanner } from "../../lib/client/tree_scanner.ts";
import { isWithin } from "../../lib/vault/path_order.ts";
import { withFolder } from "../folder.ts";
import { check } from "../property.ts";

const TEXT = fc.string({ unit: "binary", maxLength: 8 })
  .filter((text) => text.isWellFormed() && !text.includes("\0"));
const SCANNED: fc.Arbitrary<Scanned> = fc.record({
  entry: fc.record({
    path: TEXT.map((text) => `/${text}`),
    ...{ size: fc.maxSafeNat(), mode: fc.nat({ max: 0o7777 }), uid: fc.nat(), gid: fc.nat() },
    ...{ mtimeMs: fc.maxSafeInteger(), ctimeMs: fc.maxSafeInteger() },
    ...{ inode: fc.maxSafeNat(), nlink: fc.nat() },
  }).chain((entry) =>
    fc.oneof(
      fc.constantFrom<Scanned["entry"]>({ ...entry, type: "file" }, { ...entry, type: "dir" }),
      TEXT.map((target): Scanned["entry"] => ({ ...entry, type: "symlink", target })),
    )
  ),
  device: fc.maxSafeNat(),
  allocatedBytes: fc.oneof(fc.maxSafeNat(), fc.constant(Infinity)),
});

Deno.test("a batch comes out of a message as it went in", () => {
  const left: fc.Arbitrary<Left> = fc.record({ path: TEXT.map((text) => `/${text}`) });
  check(fc.property(fc.array(fc.oneof(SCANNED, left), { maxLength: 20 }), (found) => {
    const message = structuredClone(encodeBatch(found, { skips: [], moreSkips: 0 }));
    assert.deepEqual(decodeBatch(message), found.map((one) => ({ ...one })));
  }));
});

Deno.test("TreeScanner finds what scanTree() finds, in order, each time it is asked", async () => {
  await withFolder(async (folder) => {
    const files = BACKUP.scanBatchEntries * (BACKUP.scanBatchesAheadMax + 3);
    for (let i = 0; i < files; i++) {
      if (i % 500 === 0) Deno.mkdirSync(join(folder, `d${i / 500}`));
      Deno.writeTextFileSync(join(folder, `d${Math.floor(i / 500)}`, `f${i}`), "");
    }
    Deno.symlinkSync("somewhere", join(folder, "link"));
    Deno.symlinkSync("elsewhere", join(folder, "other link"));
    new Deno.Command("mkfifo", { args: [join(folder, "pipe")] }).outputSync();
    const plan: ScanPlan = {
      roots: [folder],
      exclude: { globs: ["f7*"], patternTexts: [] },
      ...{ isOneFileSystem: false, ownFolder: undefined },
    };
    const expected: Scanned[] = [];
    const options = { ...plan, exclude: ({ name }: { name: string }) => name.startsWith("f7") };
    const onSkip = (path: string) => assert.equal(path, join(folder, "pipe"));
    for (const scanned of scanTree([folder], { ...options, onSkip })) {
      assert.ok("entry" in scanned);
      expected.push(scanned);
    }
    using scanner = new TreeScanner();
    scanner.begin(plan);
    for (let round = 0; round < 2; round++) {
      const tally = new BackupTally();
      const found: Scanned[] = [];
      for await (const batch of scanner.scan(tally).batches) found.push(...batch);
      assert.deepEqual(pathsOf(found), pathsOf(expected));
      // What the folder lies in is everybody's, and may change between two looks.
      assert.deepEqual(inside(found, folder), inside(expected, folder));
      assert.deepEqual(tally.skipped, [{ path: join(folder, "pipe"), reason: "it is a pipe" }]);
      assert.equal(tally.skippedCount, 1);
    }
  });
});

Deno.test("what is left to be looked at comes in parts where that takes long", async () => {
  await withFolder((folder) => {
    const paths = ["a", "b", "c", "d"].map((name) => join(folder, name));
    for (const path of paths) Deno.writeTextFileSync(path, "");
    const skipped: string[] = [];
    const options = { onSkip: (path: string) => void skipped.push(path) };
    const gone = join(folder, "gone");
    const found: Left[] = [...paths, gone].map((path) => ({ path }));
    const [whole, ...more] = [...lookAtAll(found, { ...options, turnMs: 60_000 })];
    assert.deepEqual([pathsOf(whole), more], [paths, []]);
    const parts = [...lookAtAll(found, { ...options, turnMs: 0 })];
    assert.deepEqual(parts.map(pathsOf), [...paths.map((path) => [path]), []]);
    assert.deepEqual([...lookAtAll(whole, { ...options, turnMs: 0 })], [whole]);
    assert.deepEqual([...lookAtAll([], options)], []);
    assert.deepEqual(skipped, [gone, gone]);
    return Promise.resolve();
  });
});

Deno.test("of very many that are left out the first are told, and all are counted", async () => {
  await withFolder(async (folder) => {
    const count = BACKUP.reportedPathsMax + 20;
    const names = Array.from({ length: count }, (_, i) => `pipe${i}`);
    new Deno.Command("mkfifo", { args: names, cwd: folder }).outputSync();
    const plan = { roots: [folder], exclude: { globs: [], patternTexts: [] } };
    using scanner = new TreeScanner();
    scanner.begin({ ...plan, isOneFileSystem: false, ownFolder: undefined });
    const tally = new BackupTally();
    for await (const _ of scanner.scan(tally).batches);
    assert.equal(tally.skippedCount, count);
    assert.equal(tally.skipped.length, BACKUP.reportedPathsMax);
  });
});

Deno.test("a walk that is left before its end ends its thread", async () => {
  await withFolder(async (folder) => {
    const names = Array.from({ length: BACKUP.scanBatchEntries * 2 }, (_, i) => `f${i}`);
    for (const name of names) Deno.writeTextFileSync(join(folder, name), "");
    const plan = { roots: [folder], exclude: { globs: [], patternTexts: [] } };
    using scanner = new TreeScanner();
    scanner.begin({ ...plan, isOneFileSystem: false, ownFolder: undefined });
    for await (const batch of scanner.scan(new BackupTally()).batches) {
      assert.ok(batch.length > 0 && batch.length <= BACKUP.scanBatchEntries);
      break;
    }
  });
});

Deno.test("what ends the walk in its thread ends it here, with the same message", async () => {
  const plan = { roots: ["/"], exclude: { globs: [""], patternTexts: [] } };
  using scanner = new TreeScanner();
  scanner.begin({ ...plan, isOneFileSystem: false, ownFolder: undefined });
  await assert.rejects(scanner.scan(new BackupTally()).batches.next(), /glob: it is empty/);
});

function pathsOf(scanned: Scanned[]): string[] {
  return scanned.map(({ entry }) => entry.path);
}

function inside(scanned: Scanned[], folder: string): Scanned[] {
  return scanned.filter(({ entry }) => isWithin(entry.path, folder));
}
