import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { makeExclude } from "../../lib/client/exclude.ts";
import {
  lookAtLeft,
  type Scanned,
  type ScanOptions,
  scanTree,
  sortRoots,
} from "../../lib/client/scan.ts";
import { comparePaths, isWithin } from "../../lib/vault/path_order.ts";
import { withFolder } from "../folder.ts";
import { check } from "../property.ts";

const NAME = fc.string({
  unit: fc.constantFrom(..."ab.-/ é\uffee\u{1f600}\x01".replace("/", "")),
  minLength: 1,
  maxLength: 3,
})
  .filter((name) => name !== "." && name !== "..");
const FILES = fc.array(fc.array(NAME, { minLength: 1, maxLength: 4 }), { maxLength: 12 });

Deno.test("scanTree() gives everything once, in the order of entries", async () => {
  await withFolder((folder) => {
    let count = 0;
    check(
      fc.property(FILES, (files) => {
        const root = join(folder, String(count++));
        const expected = makeFiles(root, files);
        const paths = scan([root]).map(({ entry }) => entry.path);
        const within = paths.filter((path) => isWithin(path, root));
        assert.deepEqual(new Set(within), expected);
        assert.equal(within.length, expected.size);
        assert.deepEqual(paths, paths.toSorted(comparePaths));
      }),
      100,
    );
    return Promise.resolve();
  });
});

Deno.test("what scanTree() leaves is found all the same, by whoever looks", async () => {
  await withFolder((folder) => {
    makeFiles(join(folder, "t"), [["a", "1"], ["a", "2"], ["b"], ["c", "d", "3"]]);
    Deno.symlinkSync("nowhere", join(folder, "t", "link"));
    new Deno.Command("mkfifo", { args: [join(folder, "t", "pipe")] }).outputSync();
    const exclude: ScanOptions["exclude"] = ({ name, isFolder }) =>
      name === "2" || isFolder && name === "d";
    const skipped: string[] = [];
    const options: Partial<ScanOptions> = {
      exclude,
      onSkip: (path, reason) => skipped.push(`${path}: ${reason}`),
    };
    const all = scan([folder], options);
    assert.deepEqual(skipped.splice(0), [`${join(folder, "t", "pipe")}: it is a pipe`]);
    for (const pattern of [[true], [true, false], [false, false, true]]) {
      let asked = 0;
      const leaves = () => pattern[asked++ % pattern.length];
      assert.deepEqual(inside(scan([folder], { ...options, leaves }), folder), inside(all, folder));
      assert.deepEqual(skipped.splice(0), [`${join(folder, "t", "pipe")}: it is a pipe`]);
      assert.ok(asked > 3);
    }
    for (const leaves of [() => true, () => false]) {
      scan([folder], { ...options, exclude: ({ name }) => name === "pipe", leaves });
      assert.deepEqual(skipped, [], "what is excluded is nobody's business");
    }
    const none = { ...options, exclude: () => false, isOneFileSystem: false, ownFolder: undefined };
    const left = [
      ...scanTree([join(folder, "t")], { ...none, onSkip: () => {}, leaves: () => true }),
    ]
      .filter((one) => "path" in one);
    const names = left.map(({ path }) => path.slice(folder.length + 3));
    assert.deepEqual(names, ["a/1", "a/2", "b", "c/d/3", "link", "pipe"]);
    return Promise.resolve();
  });
});

Deno.test("lookAtLeft() does not take a folder that nobody has looked into", async () => {
  await withFolder((folder) => {
    const skipped: string[] = [];
    const onSkip = (path: string, reason: string) => void skipped.push(`${path}: ${reason}`);
    assert.equal(lookAtLeft(folder, { onSkip }), undefined);
    assert.equal(lookAtLeft(join(folder, "gone"), { onSkip }), undefined);
    assert.deepEqual(skipped, [
      `${folder}: it has become a folder meanwhile`,
      `${join(folder, "gone")}: it is gone`,
    ]);
    return Promise.resolve();
  });
});

Deno.test("scanTree() of several paths gives the folders above them once, and keeps the order", async () => {
  await withFolder((folder) => {
    for (const path of ["a/x/1", "a.b/2", "b/c/3", "b/d"]) {
      Deno.mkdirSync(join(folder, path), { recursive: true });
    }
    const roots = sortRoots(["b/c", "a/x", "a.b", "a/x/1", "b"].map((path) => join(folder, path)));
    assert.deepEqual(roots, ["a/x", "a.b", "b"].map((path) => join(folder, path)));
    const paths = scan(roots).map(({ entry }) => entry.path);
    assert.deepEqual(paths, paths.toSorted(comparePaths));
    assert.equal(new Set(paths).size, paths.length);
    assert.equal(paths[0], "/");
    assert.ok(paths.includes(join(folder, "a")), "a folder above a path");
    assert.ok(!paths.includes(join(folder, "a/y")));
    return Promise.resolve();
  });
});

Deno.test("scanTree() reports what is no file, what it cannot name, and goes on", async () => {
  await withFolder((folder) => {
    new Deno.Command("mkfifo", { args: [join(folder, "pipe")] }).outputSync();
    new Deno.Command("sh", { args: ["-c", `touch "$(printf 'bad\\377name')"`], cwd: folder })
      .outputSync();
    Deno.writeTextFileSync(join(folder, "ok"), "");
    const skipped = new Map<string, string>();
    const onSkip = (path: string, reason: string) => void skipped.set(path, reason);
    const paths = scan([folder], { onSkip }).map(({ entry }) => entry.path);
    assert.ok(paths.includes(join(folder, "ok")));
    assert.equal(skipped.get(join(folder, "pipe")), "it is a pipe");
    const [[, reason]] = [...skipped].filter(([path]) => path.includes("bad"));
    assert.equal(reason, "its name is not UTF-8");
    return Promise.resolve();
  });
});

Deno.test("scanTree() does not go into the folder that is its own", async () => {
  await withFolder((folder) => {
    Deno.mkdirSync(join(folder, "own/in"), { recursive: true });
    Deno.mkdirSync(join(folder, "other"));
    const { dev, ino } = Deno.statSync(join(folder, "own"));
    const paths = scan([folder], { ownFolder: { device: dev, inode: ino! } })
      .map(({ entry }) => entry.path);
    assert.deepEqual(paths.filter((path) => path.startsWith(folder + "/")), [
      join(folder, "other"),
    ]);
    return Promise.resolve();
  });
});

Deno.test("makeExclude() compares globs without a slash with names, others with paths", () => {
  const cases: [string, string, boolean][] = [
    ["*.o", "/a/b.o", true],
    ["*.o", "/a/b.c", false],
    ["*.o", "/a/.o", true],
    ["cache", "/a/cache", true],
    ["cache/", "/a/cache", true],
    ["cache", "/a/caches", false],
    ["/a/*", "/a/b", true],
    ["/a/*", "/a/b/c", false],
    ["/a/**/c", "/a/b/b/c", true],
    ["b/c", "/a/b/c", true],
    ["b/c", "/a/bb/c", false],
    ["*.{jpg,png}", "/x.png", true],
  ];
  for (const [glob, path, expected] of cases) {
    const exclude = makeExclude({ globs: [glob], patternTexts: [] });
    assert.equal(exclude(candidate(path)), expected, `${glob} and ${path}`);
  }
});

Deno.test("makeExclude() takes patterns of .gitignore, relative to the backup's path", () => {
  const exclude = makeExclude({
    globs: [],
    patternTexts: ["# a comment\n*.log\n!keep.log\n/top\nfolder/\n", "other*\n"],
  });
  const cases: [string, boolean, boolean][] = [
    ["/r/x.log", false, true],
    ["/r/keep.log", false, false],
    ["/r/top", false, true],
    ["/r/a/top", false, false],
    ["/r/folder", true, true],
    ["/r/folder", false, false],
    ["/r/a/otherwise", false, true],
    ["/r/...", false, false],
  ];
  for (const [path, isFolder, expected] of cases) {
    assert.equal(exclude(candidate(path, { isFolder, root: "/r" })), expected, path);
  }
});

/** All that there is, also where it is left to be looked at here. */
function scan(roots: string[], options: Partial<ScanOptions> = {}): Scanned[] {
  const onSkip = options.onSkip ?? ((path, reason) => assert.fail(`${path}: ${reason}`));
  const walk = scanTree(roots, {
    ...{ exclude: () => false, isOneFileSystem: false, ownFolder: undefined },
    ...options,
    onSkip,
  });
  return [...walk].map((one) => "path" in one ? lookAtLeft(one.path, { onSkip }) : one)
    .filter((scanned) => scanned !== undefined);
}

/** Makes files, as far as their names do not get in each other's way. Gives all paths. */
function makeFiles(root: string, files: string[][]): Set<string> {
  const paths = new Set([root]);
  Deno.mkdirSync(root);
  for (const names of files) {
    const path = join(root, ...names);
    try {
      Deno.mkdirSync(join(root, ...names.slice(0, -1)), { recursive: true });
      Deno.writeTextFileSync(path, "");
    } catch {
      // A folder has that name, or a file the name of a folder on the way.
    }
  }
  for (const path of list(root)) paths.add(path);
  return paths;
}

function list(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    return isDirectory ? [path, ...list(path)] : [path];
  });
}

function candidate(path: string, { isFolder = false, root = "" } = {}) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return { path, relativePath: path.slice(root.length + 1), name, isFolder };
}

function inside(scanned: Scanned[], folder: string): Scanned[] {
  return scanned.filter(({ entry }) => isWithin(entry.path, folder));
}
