/** The real server under faults of the machine: killed, out of space, not allowed to write. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { checksum } from "../lib/checksum.ts";
import { canMount, run, withDisk } from "./small_disk.ts";
import { listFiles, listStored, ServerProcess, withFolder } from "./programs.ts";
import { drawSeed } from "./property.ts";
import { fileMessage, message, nameField, ScriptedClient } from "./scripted_client.ts";

const OLD = Buffer.from("the earlier, verified file");

const MOUNT = await canMount();

async function storeFile(client: ScriptedClient, file: { id: Buffer; key: Buffer; plain: Buffer }) {
  await client.send(fileMessage({ ...file, name: "a.bin" }));
  await client.expect(2103);
  await client.confirm(file.id, "a.bin");
}

function readStored(dataPath: string, id: Buffer): Buffer {
  return Buffer.from(Deno.readFileSync(`${dataPath}/files/${id.toString("hex")}/a.bin`));
}

Deno.test("server killed between receipt and confirmation keeps the earlier file and no debris", () =>
  withFolder(async (folder) => {
    const dataPath = `${folder}/data`;
    let id: Buffer, key: Buffer;
    {
      await using server = await ServerProcess.start({ dataPath });
      using client = await ScriptedClient.connect(server.port);
      ({ id, key } = await client.join("alice"));
      await storeFile(client, { id, key, plain: OLD });
      await client.send(fileMessage({ id, key, name: "a.bin", plain: randomBytes(100_000) }));
      await client.expect(2103);
      await server.kill();
    }
    await using server = await ServerProcess.start({ dataPath });
    assert.deepEqual(listStored(dataPath).map((path) => path.split("/").at(-1)), ["a.bin"]);
    assert.deepEqual(readStored(dataPath, id), OLD);
    using client = await ScriptedClient.connect(server.port);
    await client.send(message(1029, { id, payload: nameField("a.bin") }));
    await client.expect(2107); // it is not there any more, and the server must not say that it is
    key = await client.reconnect(id, "alice");
    const fresh = randomBytes(100_000);
    await storeFile(client, { id, key, plain: fresh });
    assert.deepEqual(readStored(dataPath, id), fresh);
  }));

Deno.test("server killed at random moments never loses a confirmed file", () =>
  withFolder(async (folder) => {
    const dataPath = `${folder}/data`;
    let seed = drawSeed();
    let id: Buffer | undefined;
    let confirmed: Buffer = Buffer.alloc(0);
    let sent: Buffer = Buffer.alloc(0);
    for (let round = 0; round < 8; round++) {
      await using server = await ServerProcess.start({ dataPath });
      using client = await ScriptedClient.connect(server.port);
      if (id) {
        const stored = readStored(dataPath, id);
        assert.ok(stored.equals(confirmed) || stored.equals(sent), `round ${round}`);
        confirmed = stored;
      }
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const pause = 5 + seed % 40;
      const login = id
        ? { id, key: await client.reconnect(id, "alice") }
        : await client.join("alice");
      id = login.id;
      if (confirmed.length === 0) {
        confirmed = Buffer.from("first");
        await storeFile(client, { ...login, plain: confirmed });
      }
      const killing = new Promise((resolve) => setTimeout(resolve, pause)).then(() =>
        server.kill()
      );
      try {
        for (;;) {
          sent = randomBytes(200_000);
          await storeFile(client, { ...login, plain: sent });
          confirmed = sent;
        }
      } catch (error) {
        // The connection broke: this is what the test is about.
        assert.doesNotMatch(String(error), /got 2107/);
      }
      await killing;
    }
  }));

Deno.test("server gives a row to a confirmed file whose row was lost in a crash", () =>
  withFolder(async (folder) => {
    const dataPath = `${folder}/data`;
    let id: Buffer;
    {
      await using server = await ServerProcess.start({ dataPath });
      using client = await ScriptedClient.connect(server.port);
      const login = await client.join("alice");
      ({ id } = login);
      await storeFile(client, { ...login, plain: OLD });
      await server.stop();
    }
    const path = `${dataPath}/files/${id.toString("hex")}`;
    Deno.writeFileSync(`${path}/b%2541%3A.txt`, Buffer.from("hello defensive\nsecond line\n"));
    const renamed = Buffer.from("renamed, but the row is of the old one");
    Deno.writeFileSync(`${path}/a.bin`, renamed);
    await using server = await ServerProcess.start({ dataPath });
    assert.equal(server.events("file adopted").length, 2);
    using db = new DatabaseSync(`${dataPath}/holdfast.db`, { readOnly: true });
    const rows = db.prepare("SELECT FileName, Verified, Size, Checksum FROM files ORDER BY Size")
      .all();
    assert.deepEqual(rows.map((row) => ({ ...row })), [
      { FileName: "b%41:.txt", Verified: 1, Size: 28, Checksum: 2866325594 },
      { FileName: "a.bin", Verified: 1, Size: 38, Checksum: checksum(renamed) },
    ]);
    await server.stop();
    await using again = await ServerProcess.start({ dataPath });
    assert.equal(again.events("file adopted").length, 0, "once is enough");
    Deno.removeSync(`${path}/a.bin`);
    await again.stop();
    await using third = await ServerProcess.start({ dataPath });
    assert.equal(third.events("file is missing").length, 1);
  }));

Deno.test({
  name: "server on a full disk refuses the file, keeps the earlier one, and goes on",
  ignore: !MOUNT,
  fn: () =>
    withDisk("4m", async (disk) => {
      await using server = await ServerProcess.start({ dataPath: `${disk}/data` });
      using client = await ScriptedClient.connect(server.port);
      const { id, key } = await client.join("alice");
      await storeFile(client, { id, key, plain: OLD });
      await client.send(fileMessage({ id, key, name: "a.bin", plain: randomBytes(8_000_000) }));
      await client.expect(2107);
      assert.equal(listStored(`${disk}/data`).length, 1, "no debris");
      assert.deepEqual(readStored(`${disk}/data`, id), OLD);
      const failed = await server.waitForEvent("request failed");
      assert.match(String(failed.error), /No space left/);
      const fits = randomBytes(1_000_000);
      await storeFile(client, { id, key, plain: fits });
      assert.deepEqual(readStored(`${disk}/data`, id), fits);
      assert.equal(await server.stop(), 0);
    }),
});

Deno.test({
  name: "server on a disk without room for the database answers 2107 and goes on",
  ignore: !MOUNT,
  fn: () =>
    withDisk("2m", async (disk) => {
      await using server = await ServerProcess.start({ dataPath: `${disk}/data` });
      using client = await ScriptedClient.connect(server.port);
      await client.register("alice");
      fillDisk(`${disk}/ballast`);
      let refused = 0;
      for (let n = 0; n < 60; n++) {
        await client.send(message(1025, { payload: nameField(`${"x".repeat(200)}${n}`) }));
        const answer = await client.answer();
        assert.ok(answer !== null && answer !== "nothing");
        if (answer.code === 2107) refused++;
        else assert.equal(answer.code, 2100);
      }
      assert.ok(refused > 0);
      Deno.removeSync(`${disk}/ballast`);
      await client.register("after");
      assert.equal(await server.stop(), 0);
    }),
});

Deno.test({
  name: "server does not start on a read-only disk, and says why",
  ignore: !MOUNT,
  fn: () =>
    withDisk("4m", async (disk) => {
      assert.ok(await run("mount", "-o", "remount,ro", disk));
      await assert.rejects(
        ServerProcess.start({ dataPath: `${disk}/data` }),
        /Cannot use data folder .*Read-only file system/,
      );
    }),
});

Deno.test("server that cannot write any more answers 2107, and stores again when it can", () =>
  withFolder(async (folder) => {
    const dataPath = `${folder}/data`;
    await using server = await ServerProcess.start({ dataPath });
    using client = await ScriptedClient.connect(server.port);
    const login = await client.join("alice");
    await storeFile(client, { ...login, plain: OLD });
    Deno.renameSync(`${dataPath}/tmp`, `${dataPath}/away`);
    await client.send(fileMessage({ ...login, name: "a.bin", plain: randomBytes(600_000) }));
    await client.expect(2107);
    assert.deepEqual(readStored(dataPath, login.id), OLD);
    Deno.renameSync(`${dataPath}/away`, `${dataPath}/tmp`);
    const fresh = randomBytes(600_000);
    await storeFile(client, { ...login, plain: fresh });
    assert.deepEqual(readStored(dataPath, login.id), fresh);
  }));

Deno.test("two servers do not share a data folder", () =>
  withFolder(async (folder) => {
    await using _first = await ServerProcess.start({ dataPath: `${folder}/data` });
    await assert.rejects(
      ServerProcess.start({ dataPath: `${folder}/data` }),
      /another server uses it/,
    );
  }));

Deno.test("server keeps its data folder to itself", () =>
  withFolder(async (folder) => {
    const dataPath = `${folder}/data`;
    await using server = await ServerProcess.start({ dataPath });
    using client = await ScriptedClient.connect(server.port);
    await storeFile(client, { ...await client.join("alice"), plain: OLD });
    for (const path of listFiles(dataPath)) {
      const mode = Deno.lstatSync(`${dataPath}/${path}`).mode! & 0o077;
      assert.equal(mode, 0, `${path} can be read by others`);
    }
    assert.equal(Deno.lstatSync(dataPath).mode! & 0o077, 0);
  }));

Deno.test("server goes on when nobody reads its log", () =>
  withFolder(async (folder) => {
    const args = ["--max-registrations", "100000"];
    await using server = await ServerProcess.start({ dataPath: `${folder}/data`, args });
    server.haltLog();
    using client = await ScriptedClient.connect(server.port);
    for (let n = 0; n < 3000; n++) {
      await client.send(message(1025, { payload: nameField("") }));
      await client.expect(2101);
    }
    assert.equal(await server.stop(), 0);
    assert.ok(server.events("request refused").length > 100, "lines were written before the halt");
  }));

Deno.test("server takes its port from port.info in the current folder", () =>
  withFolder(async (folder) => {
    const port = freePort();
    Deno.writeTextFileSync(`${folder}/port.info`, `${port}\r\n`);
    const options = { dataPath: `${folder}/data`, cwd: folder, classic: null };
    await using server = await ServerProcess.start(options);
    assert.equal(server.port, port);
    using client = await ScriptedClient.connect(port);
    await client.register("alice");
  }));

Deno.test("server says when its port is taken", () =>
  withFolder(async (folder) => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const classic = `127.0.0.1:${taken.addr.port}`;
    await assert.rejects(
      ServerProcess.start({ dataPath: `${folder}/data`, classic }),
      /Cannot listen on 127\.0\.0\.1:\d+/,
    );
  }));

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function fillDisk(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  const piece = new Uint8Array(4096);
  try {
    for (;;) file.writeSync(piece);
  } catch (error) {
    assert.match(String(error), /No space left/);
  }
}
