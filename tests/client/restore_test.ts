import assert from "node:assert/strict";
import { join } from "node:path";
import { ConflictError, RestoreTarget } from "../../lib/client/restore_target.ts";
import type { Entry } from "../../lib/vault/entry.ts";
import { ErrorCode, RequestCode } from "../../lib/protocol_v4.ts";
import { RecordType } from "../../lib/record.ts";
import { withFolder } from "../folder.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import { runClient, startClient } from "./run_client.ts";
import { dir, file, link, type TestEntry, type VaultFixture, withVault } from "./vault_fixture.ts";

const MTIME_MS = Date.UTC(2020, 1, 2, 3, 4, 5, 678);
/** Then owners are restored too. */
const IS_ROOT = Deno.uid() === 0;
const HOUR_MS = 3600_000;

/** Names below a folder, in order. */
function listTree(folder: string, prefix = ""): string[] {
  const names: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    names.push(prefix + name);
    if (isDirectory) names.push(...listTree(join(folder, name), `${prefix}${name}/`));
  }
  return names.sort();
}

function summary(stdout: string): Record<string, unknown> {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

function events(stdout: string): Record<string, unknown>[] {
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** A tree with everything that can be in one. */
function everything(): TestEntry[] {
  const large = pseudoRandom(3_000_000, 1);
  const manyPieces = pseudoRandom(1_100 * 50, 2);
  const withZeros = new Uint8Array(800_000);
  withZeros.set(pseudoRandom(1000, 3), 500_000);
  const twin = { nlink: 2, inode: 77, mtimeMs: MTIME_MS };
  return [
    dir("/"),
    dir("/data", { mode: 0o750, mtimeMs: MTIME_MS }),
    dir("/data/empty", { mode: 0o500, mtimeMs: MTIME_MS + HOUR_MS }),
    dir("/data/locked", { mode: 0o555, mtimeMs: MTIME_MS }),
    file("/data/locked/inside", "i", { mode: 0o400, mtimeMs: MTIME_MS - 1 }),
    file("/data/small", "some text", { mode: 0o640, mtimeMs: MTIME_MS + 7 }),
    file("/data/nothing", "", { mode: 0o666, mtimeMs: -5000 }),
    file("/data/large", large, { mode: 0o4755, mtimeMs: MTIME_MS }),
    file("/data/list", manyPieces, { pieceBytes: 50, mtimeMs: MTIME_MS }),
    file("/data/zeros", withZeros, { pieceBytes: 300_000, mtimeMs: MTIME_MS }),
    file("/data/twin-a", "twins", twin),
    file("/data/twin-b", "twins", twin),
    link("/data/link", "../elsewhere/ü"),
    file("/data/odd\nname \u001b[0m", "odd", { mtimeMs: MTIME_MS }),
    file("/data/ünï-\u{1f600}", "odd too", { mtimeMs: MTIME_MS }),
    file("/data/ -rf", "careful", { mtimeMs: MTIME_MS }),
    file("/data/own", "of the system's own user", { uid: 0, gid: 0, mode: 0o664 }),
  ];
}

function checkEverything(folder: string, entries: TestEntry[]): void {
  for (const { path, type = "file", content, mode = 0o644, mtimeMs, target, ...owner } of entries) {
    if (path === "/") continue;
    const place = folder + path;
    const info = Deno.lstatSync(place);
    const [uid, gid] = IS_ROOT ? [owner.uid ?? 1000, owner.gid ?? 1000] : [info.uid, info.gid];
    assert.deepEqual([info.uid, info.gid], [uid, gid], path);
    if (type === "symlink") {
      assert.equal(Deno.readLinkSync(place), target);
      continue;
    }
    assert.equal(info.isDirectory, type === "dir", path);
    assert.equal((info.mode! & 0o7777).toString(8), mode.toString(8), path);
    if (mtimeMs !== undefined) assert.equal(info.mtime!.getTime(), mtimeMs, path);
    if (content === undefined) continue;
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    assert.ok(Uint8Array.from(bytes).toHex() === Deno.readFileSync(place).toHex(), path);
  }
}

/** So that the folder of the test can be removed. */
function unlock(folder: string): void {
  for (const name of ["locked", "empty"]) Deno.chmodSync(join(folder, "data", name), 0o700);
}

Deno.test("restore gives back everything: contents, modes, times, links, holes, odd names", async () => {
  await withVault(async (vault) => {
    const entries = everything();
    await vault.snapshot(entries);
    const to = join(vault.folder, "out");
    const ran = await vault.run("restore", "latest", "--to", to, "--verify", "--json");
    assert.equal(ran.code, 0, ran.stderr);
    checkEverything(to, entries);
    assert.equal(Deno.lstatSync(to + "/data/twin-a").ino, Deno.lstatSync(to + "/data/twin-b").ino);
    assert.ok(Deno.lstatSync(to + "/data/zeros").blocks! * 512 < 400_000);
    assert.ok(listTree(to).every((name) => !name.endsWith(".tmp")));
    assert.equal(summary(ran.stdout).files, 12);

    const part = join(vault.folder, "part");
    const some = await vault.run(
      "restore",
      "latest",
      "/data/small",
      "/data/locked/",
      "/data/locked/inside",
      "--to",
      part,
    );
    assert.equal(some.code, 0, some.stderr);
    assert.deepEqual(listTree(part), ["data", "data/locked", "data/locked/inside", "data/small"]);
    checkEverything(
      part,
      entries.filter(({ path }) => path === "/data" || path.startsWith("/data/locked")),
    );
    const none = await vault.run(
      "restore",
      "latest",
      "/data/smal",
      "--to",
      join(vault.folder, "none"),
    );
    assert.equal(none.code, 1);
    assert.match(none.stderr, /\/data\/smal: it is not in the snapshot/);
    assert.throws(() => Deno.lstatSync(join(vault.folder, "none")), Deno.errors.NotFound);
    unlock(to);
    Deno.chmodSync(join(part, "data", "locked"), 0o700);
  });
});

Deno.test("restore writes large trees, and large files in parts, with workers and without", async () => {
  await withVault(async (vault) => {
    const entries: TestEntry[] = [dir("/data")];
    const large = pseudoRandom(20_000_000, 9);
    entries.push(file("/data/large", large, { pieceBytes: 1 << 20, mtimeMs: MTIME_MS }));
    for (let i = 0; i < 30; i++) {
      entries.push(dir(`/data/${i}`, { mtimeMs: MTIME_MS }));
      for (let j = 0; j < 60; j++) {
        entries.push(file(`/data/${i}/${j}`, `file ${i} ${j}`, { mtimeMs: i }));
      }
    }
    await vault.snapshot(entries);
    for (const workers of ["0", "2"]) {
      const to = join(vault.folder, workers);
      const args = ["--to", to, "--workers", workers, "--json"];
      const ran = await vault.run("restore", "latest", ...args);
      assert.equal(ran.code, 0, ran.stderr);
      checkEverything(to, entries);
      assert.equal(summary(ran.stdout).files, 1801);
    }
  });
});

Deno.test("restore writes a file of 100 GB of holes in seconds, and it stays sparse", async () => {
  await withVault(async (vault) => {
    const size = 100 * 2 ** 30;
    const reference = await dataReference(vault);
    await vault.snapshot([
      dir("/data"),
      { path: "/data/holes", size, extents: [{ offset: 0, length: size }] },
      {
        ...{ path: "/data/island", size: size + 3 },
        extents: [{ offset: 0, length: size }, { reference, offset: 0, length: 3 }],
      },
    ]);
    const started = performance.now();
    const to = join(vault.folder, "out");
    const ran = await vault.run("restore", "latest", "--to", to, "--json");
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(performance.now() - started < 10_000);
    for (const [name, bytes] of [["holes", size], ["island", size + 3]] as const) {
      const info = Deno.lstatSync(join(to, "data", name));
      assert.equal(info.size, bytes);
      assert.ok(info.blocks! < 100, `${info.blocks} blocks`);
    }
  });
});

Deno.test("restore leaves, replaces or compares files that are there", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([
      dir("/data"),
      file("/data/a", "from the vault", { mtimeMs: MTIME_MS }),
      file("/data/b", "from the vault", { mtimeMs: MTIME_MS }),
      link("/data/l", "new"),
      dir("/data/sub"),
      file("/data/sub/x", "x"),
    ]);
    const to = join(vault.folder, "out");
    const place = (name: string) => join(to, "data", name);
    const prepare = () => {
      Deno.removeSync(to, { recursive: true });
      Deno.mkdirSync(place(""), { recursive: true });
      Deno.writeTextFileSync(place("a"), "mine");
      Deno.writeTextFileSync(place("b"), "like the vault");
      Deno.utimeSync(place("b"), new Date(MTIME_MS), new Date(MTIME_MS));
      Deno.symlinkSync("old", place("l"));
      Deno.writeTextFileSync(place("mine"), "not in the vault");
    };
    Deno.mkdirSync(to);
    const results: Record<string, string[]> = {};
    for (const overwrite of ["never", "changed", "always"]) {
      prepare();
      const dry = await vault.run(
        "restore",
        "latest",
        "--to",
        to,
        "--overwrite",
        overwrite,
        "--dry-run",
        "--json",
      );
      assert.equal(dry.code, 0, dry.stderr);
      const plan = events(dry.stdout).filter(({ event }) => event === "plan");
      const ran = await vault.run("restore", "latest", "--to", to, "--overwrite", overwrite);
      assert.equal(ran.code, 0, ran.stderr);
      results[overwrite] = [
        ...["a", "b", "mine", "sub/x"].map((name) => Deno.readTextFileSync(place(name))),
        Deno.readLinkSync(place("l")),
        plan.map(({ action }) => action).join(" "),
      ];
    }
    const [mine, x] = ["not in the vault", "x"];
    assert.deepEqual(results, {
      never: ["mine", "like the vault", mine, x, "old", "keep keep keep write"],
      changed: ["from the vault", "like the vault", mine, x, "new", "write same write write"],
      always: ["from the vault", "from the vault", mine, x, "new", "write write write write"],
    });

    // A folder is never taken away for a file.
    prepare();
    Deno.removeSync(place("a"));
    Deno.mkdirSync(place("a"));
    const conflict = await vault.run("restore", "latest", "--to", to, "--overwrite", "always");
    assert.equal(conflict.code, 3);
    assert.match(conflict.stderr, /not restored: \/data\/a: a folder stands there/);
    assert.equal(Deno.readTextFileSync(place("b")), "from the vault");
  });
});

Deno.test("restore follows no link that lies in the target", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([
      dir("/data"),
      dir("/data/deep"),
      dir("/data/deep/er"),
      file("/data/deep/er/file", "from the vault"),
      file("/data/file", "from the vault"),
    ]);
    const outside = join(vault.folder, "outside");
    Deno.mkdirSync(join(outside, "er"), { recursive: true });
    Deno.writeTextFileSync(join(outside, "file"), "untouched");
    for (const overwrite of ["never", "changed", "always"]) {
      const to = join(vault.folder, overwrite);
      Deno.mkdirSync(join(to, "data"), { recursive: true });
      Deno.symlinkSync(outside, join(to, "data", "deep"));
      Deno.symlinkSync(join(outside, "file"), join(to, "data", "file"));
      const ran = await vault.run("restore", "latest", "--to", to, "--overwrite", overwrite);
      assert.deepEqual(listTree(outside), ["er", "file"], overwrite);
      assert.equal(Deno.readTextFileSync(join(outside, "file")), "untouched");
      if (overwrite === "never") {
        assert.equal(ran.code, 3);
        assert.match(ran.stderr, /\/data\/deep: something else stands there/);
      } else {
        assert.equal(ran.code, 0, ran.stderr);
        assert.equal(Deno.readTextFileSync(join(to, "data/deep/er/file")), "from the vault");
        assert.ok(Deno.lstatSync(join(to, "data", "deep")).isDirectory);
      }
    }
  });
});

Deno.test("RestoreTarget looks at what is in a new folder all the same", async () => {
  await withFolder((folder) => {
    Deno.mkdirSync(join(folder, "a folder"));
    Deno.writeTextFileSync(join(folder, "a file"), "text");
    Deno.symlinkSync(join(folder, "a folder"), join(folder, "a link"));
    const target = RestoreTarget.open(folder, { overwrite: "never", isDry: false });
    const options = { isDry: false, isInNew: true };
    assert.equal(target.makeFolder(target.place("/none"), options), true);
    assert.ok(Deno.lstatSync(join(folder, "none")).isDirectory);
    assert.equal(target.makeFolder(target.place("/a folder"), options), false);
    for (const name of ["a file", "a link"]) {
      assert.throws(() => target.makeFolder(target.place(`/${name}`), options), ConflictError);
    }
    const dry = { isDry: true, isInNew: true };
    assert.equal(target.makeFolder(target.place("/not made"), dry), true);
    assert.throws(() => Deno.lstatSync(join(folder, "not made")), Deno.errors.NotFound);
    return Promise.resolve();
  });
});

Deno.test("restore writes nothing outside whatever the entries say", async () => {
  await withVault(async (vault) => {
    const outside = join(vault.folder, "outside");
    Deno.mkdirSync(outside);
    const good = { path: "/data/good", extents: [], size: 0 };
    const hostile: Record<string, object[]> = {
      dots: [{ path: "/data/../../outside/x" }, good],
      relative: [{ path: "outside/x" }, good],
      empty: [{ path: "//outside" }, good],
      nul: [{ path: "/data/x\0y" }, good],
      beneath_link: [
        { path: "/data", type: "symlink", target: outside },
        { path: "/data/x", size: 0 },
        { path: "/data/y/z", size: 0 },
      ],
      beneath_file: [{ path: "/data", size: 0 }, { path: "/data/x", size: 0 }],
      twice: [{ path: "/data", type: "symlink", target: outside }, { path: "/data", type: "dir" }],
    };
    for (const [name, entries] of Object.entries(hostile)) {
      await vault.snapshot([], { tree: (emit) => rawSegment(entries, emit) });
      const to = join(vault.folder, name);
      const ran = await vault.run("restore", "latest", "--to", to);
      assert.equal(ran.code, 5, `${name}: ${ran.stderr}`);
      assert.deepEqual(listTree(outside), [], name);
      assert.deepEqual(listTree(vault.folder).filter((path) => path.endsWith("/x")), [], name);
    }
  });
});

Deno.test("restore names the files that damage costs, one by one, and restores the others", async () => {
  await withVault(async (vault) => {
    const big = pseudoRandom(2_000_000, 5);
    const entries: TestEntry[] = [
      dir("/data"),
      file("/data/broken", "will be missing"),
      file("/data/false", "will be replaced"),
      file("/data/part", big, { pieceBytes: 1 << 18 }),
      file("/data/whole", pseudoRandom(2_000_000, 6), { mtimeMs: MTIME_MS }),
      file("/data/xtwin", "will be missing", { nlink: 2, inode: 5 }),
      file("/data/zgood", "good"),
    ];
    await vault.snapshot(entries);
    const missing = vault.references.get("/data/broken")![0].id.toHex();
    const replaced = vault.references.get("/data/false")![0].id.toHex();
    const pieces = vault.references.get("/data/part")!.slice(2, 5).map(({ id }) => id.toHex());
    const other = vault.server.records.get(vault.references.get("/data/zgood")![0].id.toHex())!;
    const spoil = (id: Uint8Array, record: Uint8Array | undefined) => {
      const name = id.toHex();
      if (name === missing) return undefined;
      if (name === replaced) return other;
      if (pieces.includes(name)) return record!.map((byte, i) => i === 1000 ? byte ^ 1 : byte);
      return record;
    };
    vault.server.lies.record = spoil;
    const to = join(vault.folder, "out");
    const ran = await vault.run("restore", "latest", "--to", to, "--json");
    assert.equal(ran.code, 5);
    const failed = events(ran.stdout).filter(({ event }) => event === "failed");
    assert.deepEqual(failed.map(({ path }) => path).sort(), [
      ...["/data/broken", "/data/false", "/data/part", "/data/xtwin"],
    ]);
    assert.ok(failed.every(({ kind }) => kind === "damaged"));
    const summary = events(ran.stdout).find(({ event }) => event === "summary")!;
    assert.deepEqual([summary.files, summary.damaged], [2, 4]);
    assert.deepEqual(listTree(to), ["data", "data/whole", "data/zgood"]);
    checkEverything(to, entries.filter(({ path }) => /whole|zgood/.test(path)));

    // A server that has them right when it is asked to look.
    const looked = new Set<string>();
    vault.server.lies.record = (id, record, code) => {
      if (code === RequestCode.READ) return spoil(id, record);
      looked.add(id.toHex());
      return record;
    };
    const again = join(vault.folder, "again");
    const repaired = await vault.run("restore", "latest", "--to", again);
    assert.equal(repaired.code, 0, repaired.stderr);
    checkEverything(again, entries);
    assert.ok([missing, replaced, ...pieces].every((name) => looked.has(name)));
    assert.ok(!looked.has(vault.references.get("/data/zgood")![0].id.toHex()));
  });
});

Deno.test("restore goes on behind a lost segment and says what is lost", async () => {
  await withVault(async (vault) => {
    const entries: TestEntry[] = [dir("/data")];
    for (let i = 0; i < 9000; i++) entries.push(file(`/data/${String(i).padStart(5, "0")}`, ""));
    const segments: string[] = [];
    await vault.snapshot(entries, {
      tree: async (emit) => {
        const { TreeBuilder } = await import("../../lib/vault/tree_builder.ts");
        const { entryOf } = await import("../vault/fixture.ts");
        const builder = new TreeBuilder({
          pathTable: new Uint32Array(pseudoRandom(1024, 3).buffer),
          emit: async (content) => {
            const reference = await emit(content);
            if (content.type === RecordType.SEGMENT) segments.push(reference.id.toHex());
            return reference;
          },
        });
        for (const { content: _, ...entry } of entries) {
          await builder.add(entryOf(entry.path, entry));
        }
        return await builder.finish();
      },
    });
    assert.ok(segments.length > 2);
    vault.server.records.delete(segments[1]);
    const to = join(vault.folder, "out");
    const ran = await vault.run("restore", "latest", "--to", to, "--json");
    assert.equal(ran.code, 5);
    const failed = events(ran.stdout).filter(({ event }) => event === "failed");
    assert.equal(failed.length, 1);
    assert.match(String(failed[0].error), /all entries up to \/data\/\d+ are lost: .*missing/);
    const names = listTree(join(to, "data"));
    assert.equal(names[0], "00000");
    assert.equal(names.at(-1), "08999");
    assert.ok(names.length > 4000 && names.length < 9000);
  });
});

Deno.test("restore that is interrupted leaves no half files", async () => {
  await withVault(async (vault) => {
    const entries: TestEntry[] = [dir("/data")];
    for (let i = 0; i < 40; i++) {
      entries.push(file(`/data/${i}`, pseudoRandom(500_000, i), { pieceBytes: 100_000 }));
    }
    await vault.snapshot(entries);
    const slow = vault.references.get("/data/7")![2].id.toHex();
    let reached: () => void = () => {};
    const waiting = new Promise<void>((resolve) => reached = resolve);
    vault.server.lies.delay = (id) => {
      if (id.toHex() !== slow) return Promise.resolve();
      reached();
      return new Promise((resolve) => setTimeout(resolve, 1500));
    };
    const to = join(vault.folder, "out");
    const args = ["restore", "latest", "--to", to, "--profile", vault.profilePath];
    const child = startClient(args, { cwd: vault.folder });
    await child.stdin.close();
    await waiting;
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    assert.equal(code, 130, new TextDecoder().decode(stderr));
    for (const name of listTree(join(to, "data"))) {
      assert.match(name, /^\d+$/); // and not of a temporary file, which has its full size from the first
      assert.equal(Deno.lstatSync(join(to, "data", name)).size, 500_000, name);
    }
    assert.throws(() => Deno.lstatSync(join(to, "data", "7")), Deno.errors.NotFound);
  });
});

Deno.test("restore that cannot go on takes away what is not complete", async () => {
  await withVault(async (vault) => {
    const entries: TestEntry[] = [dir("/data")];
    for (let i = 0; i < 200; i++) {
      entries.push(file(`/data/${i}`, pseudoRandom(60_000, i), { pieceBytes: 20_000 }));
    }
    await vault.snapshot(entries);
    let count = 0;
    vault.server.lies.record = (_, record) => {
      if (++count === 300) vault.server.lies.error = () => ErrorCode.FORBIDDEN; // the device is revoked
      if (count === 320) vault.server.cut();
      return record;
    };
    const to = join(vault.folder, "out");
    const ran = await vault.run("restore", "latest", "--to", to);
    assert.equal(ran.code, 4, ran.stderr);
    const names = listTree(join(to, "data"));
    assert.ok(names.length > 20 && names.length < 200, `${names.length} files`);
    for (const name of names) assert.match(name, /^\d+$/);
  });
});

Deno.test("restore says which permission is missing", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([
      dir("/data"),
      link("/data/link", "x"),
      link("/data/link2", "x"),
      file("/data/file", "f"),
    ]);
    const to = join(vault.folder, "out");
    const args = ["restore", "latest", "--to", to, "--profile", vault.profilePath];
    const scoped = ["--allow-net", "--allow-read", `--allow-write=${to},${vault.profilePath}`];
    const ran = await runClient(args, { cwd: vault.folder, permissions: scoped });
    assert.equal(ran.code, 3, ran.stderr);
    assert.match(
      ran.stderr,
      /\/data\/link: the runtime makes symbolic links only with full permission/,
    );
    assert.equal(ran.stderr.match(/hint: run with --allow-read and --allow-write/g)?.length, 1);
    assert.equal(Deno.readTextFileSync(join(to, "data/file")), "f");
    const readOnly = ["--allow-net", "--allow-read"];
    const none = await runClient(args, { cwd: vault.folder, permissions: readOnly });
    assert.equal(none.code, 4);
    assert.match(none.stderr, /no permission to write.*\n?.*hint: run with --allow-write=/s);
    // What only reads works without writing.
    const listed = await runClient(["ls", "latest", "--profile", vault.profilePath], {
      cwd: vault.folder,
      permissions: readOnly,
    });
    assert.equal(listed.code, 0, listed.stderr);
  });
});

async function dataReference(vault: VaultFixture) {
  await vault.snapshot([dir("/data"), file("/data/abc", "abc")]);
  return vault.references.get("/data/abc")![0];
}

/** A segment as no builder would make it. */
async function rawSegment(
  entries: object[],
  emit: Parameters<NonNullable<Parameters<VaultFixture["snapshot"]>[1]>["tree"] & object>[0],
) {
  const fields: Omit<Entry, "path" | "mtimeMs" | "ctimeMs" | "inode"> = {
    ...{ type: "file", size: 0, mode: 0o644, uid: 0, gid: 0, nlink: 1 },
  };
  const lines = [
    JSON.stringify({ version: 1, sessions: 0, references: [] }),
    ...entries.map((entry) => {
      const { extents: _, ...given } = entry as Record<string, unknown>;
      return JSON.stringify({ ...fields, mtime: 1, ctime: 1, ino: 1, ...given });
    }),
  ];
  const plaintext = new TextEncoder().encode(lines.join("\n") + "\n");
  const top = await emit({ type: RecordType.SEGMENT, links: [], plaintext });
  return { top, level: 0, totals: { entries: entries.length, files: entries.length, bytes: 0 } };
}
