/** The real server, told the conversations of real and of unreal clients over real sockets. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { checksum } from "../lib/checksum.ts";
import { listFiles, listStored, ServerProcess, waitUntil, withFolder } from "./programs.ts";
import { drawSeed } from "./property.ts";
import {
  fileMessage,
  message,
  nameField,
  NO_ID,
  PUBLIC_KEY,
  receiptChecksum,
  ScriptedClient,
} from "./scripted_client.ts";

const HELLO = Buffer.from("hello defensive\nsecond line\n");

interface Setting {
  server: ServerProcess;
  dataPath: string;
  connect: () => Promise<ScriptedClient>;
}

/** A test with a server of its own. */
function testServer(
  name: string,
  work: (setting: Setting) => Promise<void>,
  args: string[] = [],
): void {
  Deno.test(`classic server ${name}`, () =>
    withFolder(async (folder) => {
      const dataPath = `${folder}/data`;
      await using server = await ServerProcess.start({ dataPath, args });
      await work({ server, dataPath, connect: () => ScriptedClient.connect(server.port) });
      // Whatever the test did, the server is alive, stops when it is told to, and leaves nothing unconfirmed.
      assert.equal(await server.stop(), 0);
      assert.deepEqual(server.events("text"), []);
      assert.deepEqual(server.events("connection failed"), []);
      assert.deepEqual(listFiles(dataPath).filter((path) => path.startsWith("tmp/")), []);
    }));
}

function storedBytes(dataPath: string, id: Uint8Array, name: string): Buffer {
  return Buffer.from(
    Deno.readFileSync(`${dataPath}/files/${Buffer.from(id).toString("hex")}/${name}`),
  );
}

function query(dataPath: string, sql: string): unknown[] {
  using db = new DatabaseSync(`${dataPath}/holdfast.db`, { readOnly: true });
  return db.prepare(sql).all().map((row) => ({ ...row }));
}

testServer("registers, exchanges keys, receives and confirms a file", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  assert.equal(id.length, 16);
  assert.ok(!id.includes(0), "no zero byte in an id");
  assert.ok(id[7] >= 0x10 && id[15] >= 0x10);
  assert.equal(id[6] >> 4, 4, "UUID version 4");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  const receipt = await client.expect(2103);
  assert.equal(receipt.length, 279);
  assert.deepEqual(receipt.subarray(0, 16), id);
  assert.equal(receipt.readUInt32LE(16), 32);
  assert.deepEqual(receipt.subarray(20, 275), nameField("a.txt"));
  assert.equal(receiptChecksum(receipt), 2866325594);
  assert.deepEqual(query(t.dataPath, "SELECT * FROM files"), [], "no row before the confirmation");
  await client.send(message(1029, { id, payload: nameField("a.txt") }));
  assert.deepEqual(await client.expect(2104), id);
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), HELLO);
  const rows = query(t.dataPath, "SELECT hex(ID) AS id, FileName, PathName, Verified FROM files");
  assert.deepEqual(rows, [{
    id: id.toString("hex").toUpperCase(),
    FileName: "a.txt",
    PathName: `files/${id.toString("hex")}/a.txt`,
    Verified: 1,
  }]);
});

testServer("draws a new key at each login, and uses the newest", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const again = await client.exchangeKey(id, "alice");
  const third = await client.reconnect(id, "alice");
  assert.equal(new Set([key, again, third].map((key) => key.toString("hex"))).size, 3);
  await client.send(fileMessage({ id, key: third, name: "a", plain: HELLO }));
  assert.equal(receiptChecksum(await client.expect(2103)), checksum(HELLO));
  await client.send(fileMessage({ id, key, name: "b", plain: HELLO }));
  await client.expect(2107);
});

testServer("refuses a name that is taken, empty or not printable", async (t) => {
  using client = await t.connect();
  await client.register("alice");
  for (const name of ["alice", "", "a\x07b", "a\nb"]) {
    await client.send(message(1025, { payload: nameField(name) }));
    assert.equal((await client.expect(2101)).length, 0);
  }
});

testServer("refuses to log in who is unknown, has no key, or has another name", async (t) => {
  using client = await t.connect();
  const unknown = randomBytes(16);
  await client.send(message(1027, { id: unknown, payload: nameField("alice") }));
  assert.deepEqual(await client.expect(2106), unknown);
  const id = await client.register("alice");
  await client.send(message(1027, { id, payload: nameField("alice") }));
  assert.deepEqual(await client.expect(2106), id);
  await client.exchangeKey(id, "alice");
  const bob = await client.join("bob");
  await client.send(message(1027, { id: bob.id, payload: nameField("alice") }));
  assert.deepEqual(await client.expect(2106), bob.id);
});

testServer("does nothing for an id that is unknown or has no session key", async (t) => {
  using client = await t.connect();
  const id = await client.register("alice");
  const key = randomBytes(16);
  for (const sender of [id, randomBytes(16), NO_ID]) {
    await client.send(fileMessage({ id: sender, key, name: "a.txt", plain: HELLO }));
    await client.expect(2107);
  }
  for (const code of [1029, 1030, 1031]) {
    await client.send(message(code, { id: randomBytes(16), payload: nameField("a.txt") }));
    await client.expect(2107);
  }
  const payload = Buffer.concat([nameField("alice"), PUBLIC_KEY]);
  await client.send(message(1026, { id: randomBytes(16), payload }));
  await client.expect(2107);
  assert.deepEqual(listStored(t.dataPath), []);
});

testServer("does not let a client's public key be replaced", async (t) => {
  using client = await t.connect();
  const { id } = await client.join("alice");
  const other = Buffer.from(PUBLIC_KEY);
  other[40] ^= 1;
  await client.send(message(1026, { id, payload: Buffer.concat([nameField("alice"), other]) }));
  await client.expect(2107);
  await client.reconnect(id, "alice");
});

testServer(
  "answers 2107 to a public key that is none, and takes the right one later",
  async (t) => {
    using client = await t.connect();
    const id = await client.register("alice");
    const garbage = Buffer.concat([nameField("alice"), randomBytes(160)]);
    await client.send(message(1026, { id, payload: garbage }));
    await client.expect(2107);
    await client.exchangeKey(id, "alice");
  },
);

testServer("keeps clients over a restart", async (t) => {
  let id: Buffer;
  {
    using client = await t.connect();
    ({ id } = await client.join("alice"));
  }
  assert.equal(await t.server.stop(), 0);
  await using restarted = await ServerProcess.start({ dataPath: t.dataPath });
  using client = await ScriptedClient.connect(restarted.port);
  const key = await client.reconnect(id, "alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), HELLO);
});

testServer("takes both payload sizes of SEND_FILE and no other", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  for (const payloadBytes of [259, 259 + 32]) {
    await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO, payloadBytes }));
    assert.equal(receiptChecksum(await client.expect(2103)), checksum(HELLO));
    await client.confirm(id, "a.txt");
  }
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO, payloadBytes: 300 }));
  await client.expect(2107);
  assert.equal(
    await client.answer(),
    null,
    "the connection ends: nobody knows where the next begins",
  );
});

testServer("reads messages that arrive in pieces of any size", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const file = fileMessage({ id, key, name: "a.txt", plain: HELLO });
  for (const cuts of [[16, 23], [1, 2, 3, 22, 24], [23, 27, 282, 283], [file.length - 1]]) {
    await client.sendSplit(file, cuts);
    assert.equal(receiptChecksum(await client.expect(2103)), checksum(HELLO));
    await client.sendSplit(message(1029, { id, payload: nameField("a.txt") }), [16, 23, 100]);
    await client.expect(2104);
  }
});

testServer("reads many messages that arrive at once", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const file = fileMessage({ id, key, name: "a.txt", plain: HELLO });
  const confirm = message(1029, { id, payload: nameField("a.txt") });
  await client.send(
    file,
    confirm,
    file,
    confirm,
    message(1027, { id, payload: nameField("alice") }),
  );
  for (const code of [2103, 2104, 2103, 2104, 2105]) await client.expect(code);
});

testServer("does not answer 1030 when 1028 follows at once", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const file = fileMessage({ id, key, name: "a.txt", plain: HELLO });
  await client.send(file);
  await client.expect(2103);
  await client.send(message(1030, { id, payload: nameField("a.txt") }), file);
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  assert.equal(t.server.events("checksum wrong").length, 1);
});

testServer("answers 1030 after a while when nothing follows", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  await client.send(message(1030, { id, payload: nameField("a.txt") }));
  assert.equal(await client.answer(1000), "nothing");
  assert.deepEqual(await client.expect(2104), id);
  await client.send(message(1029, { id, payload: nameField("a.txt") }));
  await client.expect(2107); // the file was given up with 1030
});

testServer("drops the file after four wrong checksums and keeps the earlier one", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  const changed = fileMessage({ id, key, name: "a.txt", plain: Buffer.from("changed") });
  for (let n = 0; n < 4; n++) {
    await client.send(changed);
    await client.expect(2103);
    if (n < 3) await client.send(message(1030, { id, payload: nameField("a.txt") }));
  }
  await client.send(message(1031, { id, payload: nameField("a.txt") }));
  assert.deepEqual(await client.expect(2104), id);
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), HELLO);
  assert.deepEqual(listStored(t.dataPath).length, 1);
});

testServer("serves a client that connects anew for every request", async (t) => {
  const ask = async (bytes: Buffer, code: number) => {
    using client = await t.connect();
    await client.send(bytes);
    return await client.expect(code);
  };
  const id = await ask(message(1025, { payload: nameField("alice") }), 2100);
  let key: Buffer;
  {
    using client = await t.connect();
    key = await client.exchangeKey(id, "alice");
  }
  const file = fileMessage({ id, key, name: "a.txt", plain: HELLO });
  await ask(file, 2103);
  {
    using client = await t.connect();
    await client.send(message(1030, { id, payload: nameField("a.txt") }));
  }
  await ask(file, 2103);
  await ask(message(1029, { id, payload: nameField("a.txt") }), 2104);
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), HELLO);
});

testServer("echoes the file-name field as it came, and stores the base name", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const fields: [Buffer, string][] = [
    [nameField("plain.txt", 0xcc), "plain.txt"],
    [Buffer.alloc(255, 0x61), "a".repeat(255)],
    [nameField("/etc/passwd"), "passwd"],
    [nameField("..\\..\\windows\\system.ini"), "system.ini"],
    [nameField("../../../../tmp/up.txt", 0xff), "up.txt"],
    [nameField("con.txt"), "%63on.txt"],
    [nameField("tab\there"), "tab%09here"],
    [nameField("stream:ads"), "stream%3Aads"],
    [nameField("ends."), "ends%2E"],
    [nameField("héllo wörld.txt"), "héllo wörld.txt"],
  ];
  for (const [field, stored] of fields) {
    await client.send(fileMessage({ id, key, field, plain: HELLO }));
    assert.deepEqual((await client.expect(2103)).subarray(20, 275), field);
    await client.send(message(1029, { id, payload: field }));
    await client.expect(2104);
    assert.deepEqual(storedBytes(t.dataPath, id, stored), HELLO);
  }
  assert.equal(listStored(t.dataPath).length, fields.length);
  const folders = new Set(listStored(t.dataPath).map((path) => path.split("/")[1]));
  assert.deepEqual([...folders], [id.toString("hex")]);
});

testServer("refuses file names that name no file or are not text", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const invalid = Buffer.alloc(255);
  invalid.set([0xc3, 0x28]);
  const bad = ["", ".", "..", "a/..", "a\\..", "dir/", "/"].map((name) => nameField(name));
  bad.push(invalid, nameField("\x01".repeat(120)), nameField("?".repeat(254)));
  for (const field of bad) {
    await client.send(fileMessage({ id, key, field, plain: HELLO }));
    await client.expect(2107);
  }
  assert.deepEqual(listStored(t.dataPath), []);
});

testServer(
  "takes names that are shorter than their field, and garbage in unused fields",
  async (t) => {
    using client = await t.connect();
    await client.send(
      message(1025, { id: randomBytes(16), payload: nameField("alice", 0x99), version: 1 }),
    );
    const id = Buffer.from(await client.expect(2100));
    const key = await client.exchangeKey(id, "alice");
    await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
    await client.expect(2103);
    await client.send(message(1029, { id, payload: Buffer.from("a.txt\0") }));
    await client.expect(2104);
  },
);

testServer("receives files of every size around the blocks and pieces", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const piece = 256 * 1024;
  const sizes = [
    0,
    1,
    15,
    16,
    17,
    32,
    piece - 17,
    piece - 16,
    piece - 1,
    piece,
    piece + 1,
    2 * piece,
  ];
  for (const size of sizes) {
    const plain = randomBytes(size);
    await client.send(fileMessage({ id, key, name: `${size}`, plain }));
    assert.equal(receiptChecksum(await client.expect(2103)), checksum(plain), `${size} bytes`);
    await client.confirm(id, `${size}`);
    assert.deepEqual(storedBytes(t.dataPath, id, `${size}`), plain);
  }
});

testServer("receives a file of 300 MiB", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const plain = randomBytes(300 * 1024 * 1024);
  await client.send(fileMessage({ id, key, name: "large", plain }));
  assert.equal(receiptChecksum(await client.expect(2103)), checksum(plain));
  await client.confirm(id, "large");
  assert.ok(storedBytes(t.dataPath, id, "large").equals(plain));
});

testServer("serves 100 clients at once without mixing them", async (t) => {
  const run = async (n: number) => {
    using client = await t.connect();
    const { id, key } = await client.join(`client ${n}`);
    const plain = randomBytes(50_000 + n);
    await client.send(fileMessage({ id, key, name: "same.bin", plain }));
    assert.equal(receiptChecksum(await client.expect(2103)), checksum(plain));
    await client.confirm(id, "same.bin");
    assert.ok(storedBytes(t.dataPath, id, "same.bin").equals(plain));
    return id.toString("hex");
  };
  const ids = await Promise.all(Array.from({ length: 100 }, (_, n) => run(n)));
  assert.equal(new Set(ids).size, 100);
  assert.deepEqual(query(t.dataPath, "SELECT COUNT(*) AS n FROM files WHERE Verified = 1"), [{
    n: 100,
  }]);
});

testServer("keeps files of one name and two clients apart", async (t) => {
  using first = await t.connect();
  using second = await t.connect();
  const alice = await first.join("alice");
  const bob = await second.join("bob");
  await first.send(fileMessage({ ...alice, name: "a.txt", plain: Buffer.from("of alice") }));
  await first.expect(2103);
  await second.send(message(1029, { id: bob.id, payload: nameField("a.txt") }));
  await second.expect(2107); // it is not bob's to confirm
  await second.send(message(1031, { id: bob.id, payload: nameField("a.txt") }));
  await second.expect(2104); // nor his to drop
  await first.confirm(alice.id, "a.txt");
  assert.deepEqual(storedBytes(t.dataPath, alice.id, "a.txt"), Buffer.from("of alice"));
});

testServer("confirms to each connection the file that came over it", async (t) => {
  using first = await t.connect();
  using second = await t.connect();
  const alice = await first.join("alice");
  await first.send(fileMessage({ ...alice, name: "a.txt", plain: Buffer.from("first") }));
  await first.expect(2103);
  await second.send(fileMessage({ ...alice, name: "a.txt", plain: Buffer.from("second") }));
  await second.expect(2103);
  await first.confirm(alice.id, "a.txt");
  assert.deepEqual(storedBytes(t.dataPath, alice.id, "a.txt"), Buffer.from("first"));
  await second.confirm(alice.id, "a.txt");
  assert.deepEqual(storedBytes(t.dataPath, alice.id, "a.txt"), Buffer.from("second"));
});

testServer(
  "answers 2107 to ciphertext that was changed at its end or is no ciphertext",
  async (t) => {
    using client = await t.connect();
    const { id, key } = await client.join("alice");
    const changed = fileMessage({ id, key, name: "a.txt", plain: HELLO });
    changed[changed.length - 17] ^= 0xff; // the last padding byte, through CBC
    await client.send(changed);
    await client.expect(2107);
    for (const size of [0, 1, 15, 17]) {
      const payload = Buffer.alloc(259 + size);
      payload.writeUInt32LE(size, 0);
      nameField("a.txt").copy(payload, 4);
      await client.send(message(1028, { id, payload }));
      await client.expect(2107);
    }
    await client.reconnect(id, "alice");
  },
);

testServer("answers unknown codes with 2107 and goes on", async (t) => {
  using client = await t.connect();
  for (const code of [0, 1024, 1032, 65535]) {
    await client.send(message(code, { payload: randomBytes(code % 1000) }));
    assert.equal((await client.expect(2107)).length, 0);
  }
  await client.join("alice");
});

testServer("answers a payload of the wrong size with 2107 and goes on", async (t) => {
  using client = await t.connect();
  for (const code of [1025, 1026, 1027, 1029, 1030, 1031]) {
    await client.send(message(code, { payload: randomBytes(416) }));
    await client.expect(2107);
  }
  await client.join("alice");
});

testServer("ends the connection when a payload is too large to skip", async (t) => {
  using client = await t.connect();
  await client.send(message(7777, { payloadBytes: 0xffffffff }));
  await client.expect(2107);
  assert.equal(await client.answer(), null);
});

testServer("survives garbage of every kind", async (t) => {
  const seed = drawSeed();
  const random = lcg(seed);
  for (let n = 0; n < 40; n++) {
    using client = await t.connect();
    const bytes = Buffer.from(Array.from({ length: random(3000) }, () => random(256)));
    // Half of them look like a request at first.
    if (n % 2 === 0 && bytes.length > 23) bytes.writeUInt16LE(1025 + random(7), 17);
    await client.send(bytes);
    await client.conn.closeWrite();
    while (await client.answer() !== null);
  }
  using client = await t.connect();
  await client.join("alice");
});

testServer("drops half a file when the connection ends, and keeps the earlier one", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  {
    using other = await t.connect();
    const half = fileMessage({ id, key, name: "a.txt", plain: randomBytes(600_000) });
    await other.send(half.subarray(0, 400_000));
    await waitUntil("half a file is there", () => listStored(t.dataPath).length === 2);
  }
  await waitUntil("half a file is gone", () => listStored(t.dataPath).length === 1);
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), HELLO);
});

testServer("drops an unconfirmed file some time after its connection ended", async (t) => {
  {
    using client = await t.connect();
    const { id, key } = await client.join("alice");
    await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
    await client.expect(2103);
    assert.equal(listStored(t.dataPath).length, 1);
  }
  await waitUntil("the file is gone", () => listStored(t.dataPath).length === 0);
}, ["--confirm-time", "300ms"]);

testServer("keeps a bounded number of unconfirmed files", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  for (let n = 0; n < 20; n++) {
    await client.send(fileMessage({ id, key, name: `${n}`, plain: HELLO }));
    await client.expect(2103);
  }
  assert.equal(listStored(t.dataPath).length, 16);
  await client.send(message(1029, { id, payload: nameField("0") }));
  await client.expect(2107);
  await client.confirm(id, "19");
});

testServer("closes a connection whose message never ends", async (t) => {
  for (const part of [1, 22, 23, 200]) {
    using client = await t.connect();
    await client.send(message(1025, { payload: nameField("alice") }).subarray(0, part));
    assert.equal(await client.answer(), null, `after ${part} bytes`);
  }
}, ["--stall-time", "300ms"]);

testServer("closes a connection that sends a byte now and then", async (t) => {
  using client = await t.connect();
  const request = message(1025, { payload: nameField("alice") });
  const closed = client.answer();
  for (let n = 0; n < request.length - 1; n++) {
    try {
      await client.send(request.subarray(n, n + 1));
    } catch {
      break; // closed, as it must
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await closed, null);
}, ["--message-time", "1s"]);

testServer("does not wait for 4 GiB that do not come", async (t) => {
  using client = await t.connect();
  const { id } = await client.join("alice");
  const payload = Buffer.alloc(259);
  payload.writeUInt32LE(0xfffffef0, 0);
  nameField("a.txt").copy(payload, 4);
  await client.send(message(1028, { id, payload }));
  assert.equal(await client.answer(), null);
  await waitUntil("nothing is left", () => listStored(t.dataPath).length === 0);
}, ["--stall-time", "300ms"]);

testServer("closes an idle connection", async (t) => {
  using client = await t.connect();
  await client.join("alice");
  assert.equal(await client.answer(), null);
}, ["--idle-time", "300ms"]);

testServer("bounds the connections of an address and in all", async (t) => {
  using first = await t.connect();
  using second = await t.connect();
  await first.register("first");
  await second.register("second");
  {
    using third = await t.connect();
    assert.equal(await third.answer(), null);
  }
  first[Symbol.dispose]();
  await waitUntil("a place is free", () => t.server.events("connection refused").length === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  using fourth = await t.connect();
  await fourth.register("fourth");
}, ["--max-connections-per-address", "2"]);

testServer("bounds registrations of an address", async (t) => {
  using client = await t.connect();
  for (const [n, code] of [2100, 2100, 2107].entries()) {
    await client.send(message(1025, { payload: nameField(`client ${n}`) }));
    await client.expect(code);
  }
}, ["--max-registrations", "2"]);

testServer("registers nobody when registration is off", async (t) => {
  using client = await t.connect();
  await client.send(message(1025, { payload: nameField("alice") }));
  await client.expect(2107);
  const { reason } = await t.server.waitForEvent("request refused");
  assert.match(String(reason), /registration is off/);
}, ["--registration", "off"]);

testServer("registers a bounded number of clients", async (t) => {
  using client = await t.connect();
  await client.register("alice");
  await client.send(message(1025, { payload: nameField("bob") }));
  await client.expect(2107);
}, ["--max-clients", "1"]);

testServer("bounds the bytes of a client, and lets it replace its file", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  const fits = randomBytes(90_000);
  for (let n = 0; n < 3; n++) {
    await client.send(fileMessage({ id, key, name: "a", plain: fits }));
    await client.expect(2103);
    await client.confirm(id, "a");
  }
  await client.send(fileMessage({ id, key, name: "b", plain: randomBytes(30_000) }));
  await client.expect(2107);
  await client.send(fileMessage({ id, key, name: "a", plain: randomBytes(200_000) }));
  await client.expect(2107);
  assert.deepEqual(storedBytes(t.dataPath, id, "a"), fits);
  using other = await t.connect();
  const bob = await other.join("bob");
  await other.send(fileMessage({ ...bob, name: "b", plain: fits }));
  await other.expect(2103);
}, ["--max-client-bytes", "100000"]);

testServer("counts small files as what they take on disk", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  for (const [n, code] of [2103, 2103, 2107].entries()) {
    await client.send(fileMessage({ id, key, name: `${n}`, plain: new Uint8Array(0) }));
    await client.expect(code);
  }
}, ["--max-client-bytes", "8KiB"]);

testServer("bounds the bytes of all clients, also those under way", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a", plain: randomBytes(90_000) }));
  await client.expect(2103);
  using other = await t.connect();
  const bob = await other.join("bob");
  await other.send(fileMessage({ ...bob, name: "b", plain: randomBytes(90_000) }));
  await other.expect(2107);
  await client.send(message(1031, { id, payload: nameField("a") }));
  await client.expect(2104);
  await other.send(fileMessage({ ...bob, name: "b", plain: randomBytes(90_000) }));
  await other.expect(2103);
}, ["--max-total-bytes", "100000"]);

testServer("confirms again when the answer was lost, but only what is stored", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  {
    using again = await t.connect();
    await again.confirm(id, "a.txt");
  }
  const changed = fileMessage({ id, key, name: "a.txt", plain: Buffer.from("changed") });
  changed[changed.length - 17] ^= 0xff;
  changed[changed.length - 1] ^= 0xff; // does not decrypt
  await client.send(changed);
  await client.expect(2107);
  await client.send(message(1029, { id, payload: nameField("a.txt") }));
  await client.expect(2107);
});

testServer("takes files from the address of the login only", async (t) => {
  using client = await t.connect();
  const { id, key } = await client.join("alice");
  await client.send(fileMessage({ id, key, name: "a.txt", plain: HELLO }));
  await client.expect(2103);
  const answers = await sendFrom("127.0.0.2", t.server.port, [
    fileMessage({ id, key, name: "a.txt", plain: HELLO }),
    ...[1029, 1030, 1031].map((code) => message(code, { id, payload: nameField("a.txt") })),
  ]);
  assert.equal(answers.toString("hex"), "033b0800000000".repeat(4), "2107 four times");
  await client.confirm(id, "a.txt");
});

testServer("lets a message under way finish when it is stopped", async (t) => {
  using client = await t.connect();
  using idle = await t.connect();
  const { id, key } = await client.join("alice");
  const plain = randomBytes(400_000);
  const file = fileMessage({ id, key, name: "a.txt", plain });
  await client.send(file.subarray(0, 200_000));
  await waitUntil("the file is under way", () => listStored(t.dataPath).length === 1);
  const stopped = t.server.stop("SIGINT");
  assert.equal(await idle.answer(), null, "who is idle is let go");
  await client.send(file.subarray(200_000));
  await client.expect(2103);
  await client.confirm(id, "a.txt");
  assert.equal(await stopped, 0);
  assert.deepEqual(storedBytes(t.dataPath, id, "a.txt"), plain);
});

/** Sends from another address of the loopback interface, and gives all that is answered. */
async function sendFrom(localAddress: string, port: number, messages: Buffer[]): Promise<Buffer> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.end(Buffer.concat(messages));
  const answers: Buffer[] = [];
  for await (const piece of socket) answers.push(piece);
  return Buffer.concat(answers);
}

function lcg(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * bound);
  };
}
