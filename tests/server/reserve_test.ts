/** A full disk: what is new is refused by name, what makes room goes on, and nothing is lost. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Log } from "../../lib/log.ts";
import { openDatabase, Reserve } from "../../lib/server/reserve.ts";
import { type BackupRan, summarize, TestServer } from "../client/backup_fixture.ts";
import { type Ran, runClient } from "../client/run_client.ts";
import { withFolder } from "../folder.ts";
import { waitUntil } from "../programs.ts";
import { canMount, withDisk } from "../small_disk.ts";
import { random, TestClock } from "./fixture.ts";

const MOUNT = await canMount();
const MIB = 1024 * 1024;

/** Takes all room that is left. */
function fillDisk(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (const bytes of [new Uint8Array(MIB), new Uint8Array(4096), new Uint8Array(1)]) {
    for (;;) {
      try {
        file.writeSync(bytes);
      } catch {
        break;
      }
    }
  }
}

function makeReserve(dataPath: string, bytes: number) {
  const clock = new TestClock();
  const lines: string[] = [];
  const sink = {
    write: async (text: Uint8Array) => {
      lines.push(new TextDecoder().decode(text));
      return text.length;
    },
  };
  const log = new Log({ format: "text", sink, now: Date.now });
  const open = () => new Reserve({ dataPath, bytes, log, clock });
  return { clock, lines, open, reserve: open() };
}

Deno.test("the reserve takes room, gives it at once, and comes back", async () => {
  await withFolder(async (folder) => {
    const { clock, open, reserve } = makeReserve(folder, 2 * MIB);
    const path = join(folder, "reserve");
    await reserve.tick();
    assert.throws(() => Deno.statSync(path), Deno.errors.NotFound); // not at once
    clock.shiftMs += 60_000;
    await reserve.tick();
    const { size, blocks } = Deno.statSync(path);
    assert.deepEqual([size, blocks! * 512 >= size, reserve.isFull], [2 * MIB, true, false]);
    let tries = 0;
    const full = Object.assign(new Error("full"), { code: "ENOSPC" });
    const done = await reserve.guard(async () => {
      if (++tries === 1) throw new Error("Cannot write", { cause: full });
      return "done";
    });
    assert.deepEqual([done, tries, Deno.statSync(path).size], ["done", 2, 0]);
    assert.throws(() => reserve.check("store"), /Cannot store: the server's disk is full/);
    await assert.rejects(reserve.guard(() => Promise.reject(full)), /full/); // there is none left
    await assert.rejects(reserve.guard(() => Promise.reject(new Error("other"))), /other/);
    assert.equal(open().isFull, false); // a server that starts tries first
    clock.shiftMs += 60_000;
    await reserve.tick();
    tries = 0;
    await reserve.guard(async () => {
      if (++tries === 2) return;
      reserve.spend(); // another one, after this found no room and before it could say so
      throw full;
    });
    assert.equal(tries, 2);
    clock.shiftMs += 60_000;
    await reserve.tick();
    assert.deepEqual([reserve.isFull, Deno.statSync(path).size], [false, 2 * MIB]);
    Deno.truncateSync(path, 0);
    Deno.truncateSync(path, 2 * MIB); // a copy with holes holds no room
    const again = makeReserve(folder, 2 * MIB);
    again.clock.shiftMs += 60_000;
    await again.reserve.tick();
    assert.ok(Deno.statSync(path).blocks! * 512 >= 2 * MIB);
    const off = makeReserve(folder, 0);
    assert.deepEqual([off.reserve.spend(), off.reserve.isFull], [false, false]);
    assert.equal(Deno.statSync(path).size, 0);
  });
});

Deno.test({
  name: "a database goes on with the reserve when its disk is full",
  ignore: !MOUNT,
  fn: () =>
    withDisk("24m", async (disk) => {
      const { clock, reserve } = makeReserve(disk, 2 * MIB);
      clock.shiftMs += 60_000;
      await reserve.tick();
      const db = openDatabase(join(disk, "holdfast.db"), reserve);
      try {
        fillDisk(join(disk, "ballast"));
        const now = new Date().toISOString();
        for (let n = 0; n < 100; n++) {
          const id = random(16);
          assert.ok(await db.addClient({ id, name: `${"x".repeat(200)}${n}`, now }));
        }
        assert.ok(reserve.isFull);
        clock.shiftMs += 60_000;
        await reserve.tick(); // finds no room, and leaves what there is
        assert.ok(reserve.isFull);
        assert.ok(await db.addClient({ id: random(16), name: "after", now }));
      } finally {
        db.close();
      }
    }),
});

Deno.test({
  name: "on a full disk a backup is refused by name, forget and gc go on, and room makes it good",
  ignore: !MOUNT,
  fn: () =>
    withSmallVault({ size: "48m", reserve: "4MiB" }, async (bench) => {
      const { disk, server, folder, client, write, backup } = bench;
      // While it is being made the file is of any size, for a moment of the right one too.
      const isMade = () => server.log.includes("reserve made");
      write("a", 2 * MIB);
      const first = await backup();
      assert.equal(first.code, 0, first.stderr);
      await waitUntil("the reserve is there", isMade);
      assert.equal(Deno.statSync(join(server.dataPath, "reserve")).size, 4 * MIB);
      fillDisk(join(disk, "ballast"));
      write("b", 8 * MIB);
      const refused = await backup();
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /disk is full/);
      const named = await backup();
      assert.equal(named.code, 4, named.stderr);
      assert.match(named.stderr, /disk is full up to its reserve; nothing is lost/);

      const forgotten = await client("forget", first.summary.snapshot);
      assert.equal(forgotten.code, 0, forgotten.stderr);
      const collected = await server.run("gc");
      assert.equal(collected.code, 0, collected.stderr);
      assert.equal((await client("unforget", first.summary.snapshot)).code, 0);
      const restored = await client("restore", "latest", "--to", join(folder, "out"));
      assert.equal(restored.code, 0, restored.stderr);

      await server.stop();
      await server.start(); // with the disk as it is
      assert.equal((await client("snapshots")).code, 0);
      Deno.removeSync(join(disk, "ballast"));
      await waitUntil("the reserve is there again", isMade);
      const second = await backup();
      assert.equal(second.code, 0, second.stderr);
    }),
});

Deno.test({
  name: "a full disk without a reserve lets those in who restore",
  ignore: !MOUNT,
  fn: () =>
    withSmallVault({ size: "24m", reserve: "off" }, async (bench) => {
      const { disk, folder, client, write, backup } = bench;
      write("a", MIB);
      assert.equal((await backup()).code, 0);
      fillDisk(join(disk, "ballast"));
      const restored = await client("restore", "latest", "--to", join(folder, "out"), "--verify");
      assert.equal(restored.code, 0, restored.stderr);
      const listed = await client("snapshots");
      assert.equal(listed.code, 0, listed.stderr);
      write("b", MIB);
      const refused = await backup();
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /disk is full/);
    }),
});

interface SmallVault {
  /** Where the server's data are, and nothing else. */
  disk: string;
  server: TestServer;
  /** Where the client's are. */
  folder: string;
  client: (...args: string[]) => Promise<Ran>;
  /** Writes a file of the source. */
  write: (name: string, bytes: number) => void;
  backup: () => Promise<BackupRan>;
}

/** A server with a disk of that size, and a vault. */
async function withSmallVault(
  { size, reserve }: { size: string; reserve: string },
  test: (bench: SmallVault) => Promise<void>,
): Promise<void> {
  await withDisk(size, (disk) =>
    withFolder(async (folder) => {
      const server = new TestServer(disk, ["--reserve", reserve]);
      await server.start();
      try {
        const profile = ["--profile", join(folder, "profile")];
        const client = (...args: string[]) => runClient([...args, ...profile], { cwd: folder });
        const code = ["--recovery-file", join(folder, "code")];
        const made = await client("init", await server.invite(), "--device", "test", ...code);
        assert.equal(made.code, 0, made.stderr);
        const source = join(folder, "source");
        Deno.mkdirSync(source);
        const write = (name: string, bytes: number) =>
          Deno.writeFileSync(join(source, name), random(bytes));
        const backup = async () => summarize(await client("backup", source, "--json"));
        await test({ disk, server, folder, client, write, backup });
      } finally {
        await server.stop("SIGKILL");
      }
    }));
}
