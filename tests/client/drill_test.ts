import assert from "node:assert/strict";
import { join } from "node:path";
import { stateEntry } from "../../lib/client/file_state.ts";
import { ErrorCode, RequestCode } from "../../lib/protocol_v4.ts";
import { decodeRecord } from "../../lib/record.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import { type Fields, withDevices } from "./device_bench.ts";
import { runClient, startClient } from "./run_client.ts";
import { dir, file, type TestEntry, type VaultFixture, withVault } from "./vault_fixture.ts";

function parse(stdout: string): Fields[] {
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** Runs a drill whose new folder is made in `drills`, in which nothing may be left. */
async function drill(vault: VaultFixture, ...args: string[]) {
  const to = join(vault.folder, "drills");
  Deno.mkdirSync(to, { recursive: true });
  const ran = await vault.run("drill", "--json", "--to", to, ...args);
  assert.deepEqual([...Deno.readDirSync(to)], [], "something is left of the drill");
  return { ...ran, objects: ran.stdout === "" ? [] : parse(ran.stdout) };
}

/** What the journal says of the newest drill. */
async function lastDrill(vault: VaultFixture): Promise<Fields> {
  const { stdout } = await vault.run("journal", "--json");
  return parse(stdout).findLast(({ kind }) => kind === "drill");
}

/** A file on the disk, and an entry that looks as it does. */
function onDisk(vault: VaultFixture, name: string, content: string): TestEntry {
  const path = join(vault.folder, name);
  Deno.writeTextFileSync(path, content);
  return file(path, content, stateEntry(Deno.lstatSync(path)));
}

Deno.test("drill compares what is unchanged on the disk, counts the rest, and writes it down", async () => {
  await withVault(async (vault) => {
    const same = onDisk(vault, "same", "as it was");
    const empty = onDisk(vault, "empty", "");
    const changed = onDisk(vault, "changed", "before");
    const missing = onDisk(vault, "missing", "not any more");
    const folder = onDisk(vault, "folder", "no longer a file");
    // The disk has other contents, and nothing else says so.
    const rotten = { ...onDisk(vault, "rotten", "what is now"), content: "what it was" };
    const all = [same, empty, changed, missing, folder];
    const good = await vault.snapshot(all);
    Deno.writeTextFileSync(changed.path, "afterwards");
    Deno.removeSync(missing.path);
    Deno.removeSync(folder.path);
    Deno.mkdirSync(folder.path);
    const first = await drill(vault);
    assert.equal(first.code, 0, first.stderr);
    const counts = { files: 5, compared: 2, differing: 0, damaged: 0 };
    const bytes = all.reduce((sum, { content }) => sum + content!.length, 0);
    const others = { failed: 0, leftOut: 0, changed: 2, missing: 1, unreadable: 0 };
    const recorded = first.objects.at(-1).recorded;
    assert.deepEqual(first.objects, [
      { event: "drill", snapshot: good, bytes, ...counts, ...others, recorded },
    ]);
    const event = await lastDrill(vault);
    assert.deepEqual(
      [event.number, event.snapshot, event.files, event.bytes, event.compared, event.differing],
      [recorded, good, 5, bytes, 2, 0],
    );
    assert.match(event.text, /^"tester" drilled snapshot [0-9a-f]{12}: 5 files, \d+ B, 2 compared/);
    const status = await vault.run("status");
    assert.equal(status.code, 0, status.stderr);
    assert.match(
      status.stdout,
      /^drill: \d+ s ago by tester, of [0-9a-f]{12}: 5 files.*all good$/m,
    );

    const second = await vault.snapshot([...all, rotten]);
    const found = await drill(vault);
    assert.equal(found.code, 5, found.stderr);
    assert.deepEqual(found.objects[0], { event: "differing", path: rotten.path });
    assert.match(found.stderr, /^differing: .*rotten: the disk has other contents/m);
    assert.deepEqual([found.objects[1].snapshot, found.objects[1].differing], [second, 1]);
    assert.equal((await lastDrill(vault)).differing, 1);
    const worse = await vault.run("status");
    assert.equal(worse.code, 5, worse.stdout);
    assert.match(worse.stderr, /the last drill by tester found damage; another one clears it/);
    assert.equal((await drill(vault, good)).code, 0);
    assert.equal((await vault.run("status")).code, 0);
  });
});

Deno.test("drill names what is damaged, file by file, and writes that down too", async () => {
  await withVault(async (vault) => {
    const entries = [dir("/data")];
    for (let i = 0; i < 10; i++) {
      entries.push(file(`/data/${i}`, pseudoRandom(3000, i), { pieceBytes: 1000 }));
    }
    const id = await vault.snapshot(entries);
    const { records } = vault.server;
    records.delete(vault.references.get("/data/3")![1].id.toHex());
    records.get(vault.references.get("/data/7")![2].id.toHex())![60] ^= 1;
    const found = await drill(vault);
    assert.equal(found.code, 5, found.stderr);
    const damaged = found.objects.filter(({ event }) => event === "damaged");
    assert.deepEqual(damaged.map(({ path }) => path).sort(), ["/data/3", "/data/7"]);
    const summary = found.objects.at(-1);
    assert.deepEqual([summary.files, summary.damaged, summary.bytes], [10, 2, 8 * 3000]);
    assert.equal((await lastDrill(vault)).damaged, 2);
    // Nothing at all can be read: that is a result as well, and the drawn files are counted.
    const [segment] = decodeRecord(records.get(id)!).links.slice(-1);
    records.delete(segment.toHex());
    const lost = await drill(vault, "--sample", "4");
    assert.equal(lost.code, 5, lost.stderr);
    assert.match(lost.stderr, /^damaged: \/: 4 drawn files are lost: /m);
    assert.deepEqual([lost.objects.at(-1).files, lost.objects.at(-1).damaged], [4, 4]);
    assert.equal((await lastDrill(vault)).damaged, 4);
  });
});

Deno.test("drill draws as many files, and as many bytes, as it is told", async () => {
  await withVault(async (vault) => {
    const entries = [dir("/data"), dir("/data/locked", { mode: 0o000 })];
    for (let i = 0; i < 20; i++) {
      entries.push(file(`/data/locked/${i}`, pseudoRandom(1000, i), { mode: 0o000 }));
    }
    await vault.snapshot(entries);
    const [few] = (await drill(vault, "--sample", "3")).objects;
    assert.deepEqual([few.files, few.bytes, few.leftOut], [3, 3000, 0]);
    const [small] = (await drill(vault, "--bytes", "4500")).objects;
    assert.deepEqual([small.files, small.bytes, small.leftOut], [4, 4000, 16]);
    const none = await drill(vault, "--bytes", "999");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /each file that was drawn is larger than 999 B\nhint: --bytes/);
    assert.equal((await drill(vault, "--sample", "10001")).code, 2);
    assert.equal((await drill(vault, "latest", "more")).code, 2);
    assert.equal((await drill(vault, "nothing")).code, 2);
    await vault.snapshot([dir("/data")]);
    const empty = await drill(vault);
    assert.deepEqual([empty.code, /has no files/.test(empty.stderr)], [1, true]);
  });
});

Deno.test("drill that is interrupted leaves nothing behind and writes nothing down", async () => {
  await withVault(async (vault) => {
    const entries = [dir("/data")];
    for (let i = 0; i < 12; i++) {
      entries.push(file(`/data/${i}`, pseudoRandom(500_000, i), { pieceBytes: 100_000 }));
    }
    await vault.snapshot(entries);
    const slow = vault.references.get("/data/7")![2].id.toHex();
    const to = join(vault.folder, "drills");
    Deno.mkdirSync(to);
    for (const signals of [1, 2]) {
      const waiting = Promise.withResolvers<void>();
      vault.server.lies.delay = (id) => {
        if (id.toHex() !== slow) return Promise.resolve();
        waiting.resolve();
        return new Promise((resolve) => setTimeout(resolve, 2500));
      };
      const args = ["drill", "--to", to, "--profile", vault.profilePath];
      const child = startClient(args, { cwd: vault.folder });
      await child.stdin.close();
      await waiting.promise;
      assert.equal([...Deno.readDirSync(to)].length, 1);
      for (let i = 0; i < signals; i++) child.kill("SIGINT");
      const { code, stderr } = await child.output();
      assert.equal(code, 130, new TextDecoder().decode(stderr));
      assert.deepEqual([...Deno.readDirSync(to)], []);
      assert.equal(await lastDrill(vault), undefined);
    }
  });
});

Deno.test("a result that the journal does not take is told all the same", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([dir("/data"), file("/data/a", "a"), file("/data/b", "b")]);
    vault.server.lies.error = (code) =>
      code === RequestCode.APPEND ? ErrorCode.BAD_EVENT : undefined;
    const refused = await drill(vault);
    assert.equal(refused.code, 4);
    assert.equal(refused.objects[0].recorded, null);
    assert.match(
      refused.stderr,
      /the result is not in the journal: .*\nhint: a server from before/,
    );
    vault.server.records.delete(vault.references.get("/data/b")![0].id.toHex());
    assert.equal((await drill(vault)).code, 5); // what is damaged is more important
  });
});

Deno.test("drill needs the permission to write, and says which", async () => {
  await withVault(async (vault) => {
    await vault.snapshot([dir("/data"), file("/data/a", "a")]);
    const args = ["drill", "--profile", vault.profilePath];
    const permissions = ["--allow-net", "--allow-read", `--allow-write=${vault.profilePath}`];
    const refused = await runClient(args, { cwd: vault.folder, permissions });
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(
      refused.stderr,
      /Cannot drill: no permission to write in .*\nhint: run with --allow/,
    );
    const nowhere = await vault.run("drill", "--to", join(vault.folder, "none", "such"));
    assert.equal(nowhere.code, 1, nowhere.stderr);
    assert.match(nowhere.stderr, /no folder can be made in .*such/);
  });
});

Deno.test("readers and owners drill their own newest snapshot; writers cannot", async () => {
  await withDevices(async (bench) => {
    await bench.join("reader", "reader");
    await bench.join("writer", "writer");
    const [one, two] = ["one", "two"].map((name) => bench.write(name, { a: name, b: name + "!" }));
    const [own] = await bench.json("reader", "backup", one);
    const [other] = await bench.json("writer", "backup", two);
    const [byReader] = await bench.json("reader", "drill");
    assert.deepEqual([byReader.snapshot, byReader.compared], [own.snapshot, 2]);
    // One that makes no backups takes the newest of the vault.
    const [byOwner] = await bench.json("owner", "drill");
    assert.deepEqual([byOwner.snapshot, byOwner.files], [other.snapshot, 2]);
    const [named] = await bench.json("owner", "drill", "--device", "reader");
    assert.equal(named.snapshot, own.snapshot);
    const refused = await bench.run("writer", "drill");
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /may only write\nhint: a reader or an owner/);
    // Everybody sees it, and a server that has restarted still knows it.
    await bench.server.stop();
    await bench.server.start();
    const devices = (await bench.json("writer", "status"))
      .filter(({ event }) => event === "device");
    assert.deepEqual(devices.map(({ name, drill }) => [name, drill?.snapshot]), [
      ...[["owner", own.snapshot], ["reader", own.snapshot], ["writer", undefined]],
    ]);
    await bench.must("owner", "check", "--read-data");
  });
});
