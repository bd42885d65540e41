import assert from "node:assert/strict";
import { EventKind, signStatement } from "../../lib/journal.ts";
import { encodeCommit, encodeRoots } from "../../lib/journal_body.ts";
import { STORE, UPKEEP } from "../../lib/limits.ts";
import * as v4 from "../../lib/protocol_v4.ts";
import { AnswerCode, RequestCode } from "../../lib/protocol_v4.ts";
import { decodeUsage } from "../../lib/protocol_v4_usage.ts";
import { recordId, RecordType } from "../../lib/record.ts";
import { BackupSessions } from "../../lib/server/backup_sessions.ts";
import { writeQuota } from "../../lib/server/quota.ts";
import {
  deviceA,
  deviceB,
  makeRecord,
  random,
  refusalOf,
  TestMember,
  type TestRecord,
  withServer,
} from "./fixture.ts";

/** A small snapshot: contents, and the records above them. */
function makeSnapshot() {
  const files = [makeRecord(RecordType.DATA, [], 50_000), makeRecord(RecordType.DATA)];
  const list = makeRecord(RecordType.LIST, files);
  const segment = makeRecord(RecordType.SEGMENT, [list, makeRecord(RecordType.SESSION)]);
  const index = makeRecord(RecordType.INDEX, [segment]);
  const root = makeRecord(RecordType.ROOT, [index]);
  return { files, list, segment, index, root };
}

Deno.test("a backup is put, committed and got back", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    assert.deepEqual(await member.open(), { epoch: 1, expiresMs: STORE.sessionMs });
    const files = [makeRecord(RecordType.DATA, [], 50_000), makeRecord(RecordType.DATA)];
    const segment = makeRecord(RecordType.SEGMENT, files);
    const root = makeRecord(RecordType.ROOT, [segment]);
    const all = [...files, segment, root];
    assert.deepEqual(await member.has(...all), [false, false, false, false]);
    await member.put(...all);
    assert.deepEqual(await member.has(...all), [true, true, true, true]);
    assert.equal(await member.commit(root), "committed");
    const other = makeRecord(RecordType.DATA);
    assert.deepEqual(await member.get(root, other, files[1], files[0], root), [
      root.bytes,
      "missing",
      files[1].bytes,
      files[0].bytes,
      root.bytes,
    ]);
    const page = v4.decodeEventsPage(
      (await member.ask(RequestCode.EVENTS, v4.encodeEventsAfter(1))).payload,
    );
    assert.equal(page.headNumber, 2);
    assert.equal(page.events.length, 1);
    const beyond = await member.ask(RequestCode.EVENTS, v4.encodeEventsAfter(7));
    assert.deepEqual(v4.decodeEventsPage(beyond.payload), { headNumber: 2, events: [] });
  });
});

Deno.test("records are acknowledged without being asked for, many with one answer", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const requestIds: number[] = [];
    for (let i = 0; i < 300; i++) {
      requestIds.push(await member.sendPut(makeRecord(RecordType.DATA, [], 200)));
    }
    const first = await member.client.answerTo(requestIds[0]);
    assert.equal(first.code, AnswerCode.STORED);
    assert.deepEqual(v4.decodeStored(first.payload), requestIds);
    for (const requestId of requestIds.slice(1)) await member.client.answerTo(requestId);
    const packs = [];
    const blobs = await server.blobs();
    for await (const pack of blobs.list(member.vault.id.toHex())) packs.push(pack);
    assert.equal(packs.length, 1);
  });
});

Deno.test("HAS is yes for a record with links only when all that it reaches is there", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const { files, list } = makeSnapshot();
    const segment = makeRecord(RecordType.SEGMENT, [list]);
    const root = makeRecord(RecordType.ROOT, [segment]);
    await member.put(files[0], list, segment, root);
    assert.deepEqual(await member.has(files[0], list, segment, root), [true, false, false, false]);
    await member.put(files[1]);
    assert.deepEqual(await member.has(files[0], list, segment, root), [true, true, true, true]);
  });
});

Deno.test("COMMIT lists what is missing, and takes the same statement when it is there", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const { files, list, segment, index, root } = makeSnapshot();
    const statement = await member.commitStatement(root);
    const commit = async () => await member.client.request(RequestCode.COMMIT, statement);
    const missing = async () => {
      const { isCut, ids } = v4.decodeMissing((await commit()).payload);
      assert.equal(isCut, false);
      return ids.map((id) => id.toHex());
    };
    assert.deepEqual(await missing(), [root.id.toHex()]);
    await member.put(root, index, list, files[0]);
    assert.deepEqual(await missing(), [segment.id.toHex()]);
    await member.put(segment);
    const lacking = await missing();
    assert.ok(lacking.includes(files[1].id.toHex()));
    assert.equal(lacking.length, 2); // and the session record, which was never made
    assert.equal((await member.has(root))[0], false);
  });
});

Deno.test("COMMIT with a lost answer is answered alike, also in another session or in none", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const root = makeRecord(RecordType.ROOT);
    await member.put(root);
    const statement = await member.commitStatement(root);
    const first = await member.ask(RequestCode.COMMIT, statement);
    assert.deepEqual(await member.ask(RequestCode.COMMIT, statement), first);
    const again = await member.again(server);
    assert.deepEqual(await again.ask(RequestCode.COMMIT, statement), first);
    await server.restart();
    const later = await member.again(server);
    assert.deepEqual(await later.ask(RequestCode.COMMIT, statement), first);
    later.seen = v4.decodeAppended(first.payload);
    const body = encodeRoots([root.id]);
    const forget = await later.statement(EventKind.FORGET, body);
    const forgotten = await later.ask(RequestCode.APPEND, forget);
    assert.deepEqual(await later.ask(RequestCode.APPEND, forget), forgotten);
  });
});

Deno.test("COMMIT flushes the PUTs that came before it", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const root = makeRecord(RecordType.ROOT);
    await member.sendPut(root);
    assert.equal(await member.commit(root), "committed");
  });
});

Deno.test("statements that are forged, foreign, stale or not for this request are refused", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.addDevice(deviceB, 1);
    await member.open();
    const data = makeRecord(RecordType.DATA);
    const root = makeRecord(RecordType.ROOT, [data]);
    await member.put(data, root);
    const commit = (statement: Uint8Array) => member.refused(RequestCode.COMMIT, statement);
    const good = await member.commitStatement(root);
    const forged = good.slice();
    forged[forged.length - 1] ^= 1;
    assert.equal(await commit(forged), "BAD_EVENT");
    assert.equal(await commit(random(40)), "BAD_EVENT");
    assert.equal(await commit(await member.commitStatement(data)), "BAD_EVENT");
    const body = encodeCommit({ root: root.id, setLabel: new Uint8Array(16), tagLabels: [] });
    const others = await member.vault.sign(deviceB, EventKind.COMMIT, body, member.seen);
    assert.equal(await commit(others), "BAD_EVENT");
    const elsewhere = await signStatement(
      { kind: EventKind.COMMIT, signer: deviceA.id, seen: member.seen, body },
      { vaultId: random(32), sign: deviceA.sign },
    );
    assert.equal(await commit(elsewhere), "BAD_EVENT");
    const forget = await member.statement(EventKind.FORGET, encodeRoots([root.id]));
    assert.equal(await commit(forget), "BAD_EVENT");
    assert.equal(await member.refused(RequestCode.APPEND, good), "BAD_EVENT");
    const drop = await member.statement(EventKind.DROP, encodeRoots([root.id]));
    assert.equal(await member.refused(RequestCode.APPEND, drop), "BAD_EVENT");
    const before = member.seen;
    assert.equal(await member.commit(root), "committed");
    member.seen = before;
    assert.equal(await member.refused(RequestCode.APPEND, forget), "STALE_EVENT");
  });
});

Deno.test("PUT refuses bytes that are not the id's, or no record", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const { id, bytes } = makeRecord(RecordType.DATA);
    const put = (id: Uint8Array, record: Uint8Array) =>
      member.refused(RequestCode.PUT, v4.encodePut({ id, record }));
    assert.equal(await put(random(32), bytes), "BAD_RECORD");
    const short = random(10);
    assert.equal(await put(recordId(short), short), "BAD_RECORD");
    const large = new Uint8Array(4 * 1024 * 1024 + 1);
    large.set([1, 1, 0, 0]);
    assert.equal(await put(recordId(large), large), "BAD_RECORD");
    const leaf = bytes.slice();
    leaf.set([1, 1, 1, 0]); // contents must not link anything
    assert.equal(await put(recordId(leaf), leaf), "BAD_RECORD");
    assert.deepEqual(await member.has({ id, bytes }), [false]);
    await member.put({ id, bytes }); // the connection still works
  });
});

Deno.test("links deeper than any backup needs are refused", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const chain = [makeRecord(RecordType.INDEX)];
    for (let i = 0; i < 17; i++) chain.push(makeRecord(RecordType.INDEX, [chain[i]]));
    const root = makeRecord(RecordType.ROOT, [chain[17]]);
    await member.put(...chain, root);
    const statement = await member.commitStatement(root);
    assert.equal(await member.refused(RequestCode.COMMIT, statement), "BAD_RECORD");
    assert.deepEqual(await member.has(root, chain[3]), [false, true]);
  });
});

Deno.test("PUT and COMMIT need a session that has not ended", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    const root = makeRecord(RecordType.ROOT);
    const put = v4.encodePut({ id: root.id, record: root.bytes });
    assert.equal(await member.refused(RequestCode.PUT, put), "NO_SESSION");
    await member.open();
    await member.put(root);
    server.clock.shiftMs += STORE.sessionMs; // it was not used for so long
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(await member.refused(RequestCode.PUT, put), "NO_SESSION");
    const statement = await member.commitStatement(root);
    assert.equal(await member.refused(RequestCode.COMMIT, statement), "NO_SESSION");
    const open = v4.encodeSessionId(member.sessionId);
    assert.equal(await member.refused(RequestCode.OPEN, open), "NO_SESSION");
    member.sessionId = random(16);
    await member.open();
    await member.put(root); // it may have been deleted
    assert.equal(await member.commit(root), "committed");
    await member.ask(RequestCode.CLOSE, v4.encodeSessionId(member.sessionId));
    await member.ask(RequestCode.CLOSE, v4.encodeSessionId(member.sessionId));
    assert.equal(await member.refused(RequestCode.PUT, put), "NO_SESSION");
  });
});

Deno.test("a session is shared by its device's connections and survives the server", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.addDevice(deviceB, 1);
    await member.open();
    const other = await member.again(server);
    await other.open();
    const data = makeRecord(RecordType.DATA);
    const root = makeRecord(RecordType.ROOT, [data]);
    await other.put(data);
    await member.put(root);
    const client = await server.connect();
    await client.login(deviceB, member.vault.id);
    const thief = new TestMember(client, deviceB, member.vault, member.seen);
    const session = v4.encodeSessionId(member.sessionId);
    assert.equal(await thief.refused(RequestCode.OPEN, session), "FORBIDDEN");
    assert.equal(await thief.refused(RequestCode.CLOSE, session), "FORBIDDEN");
    await server.restart();
    const later = await member.again(server);
    await later.open();
    assert.equal(await later.commit(root), "committed");
  });
});

Deno.test("a device has a bounded number of open sessions, and cannot hold up another", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.addDevice(deviceB, 1);
    const connections = [member, ...await Promise.all([1, 2, 3].map(() => member.again(server)))];
    const open: TestMember[] = [];
    for (let i = 0; i < STORE.sessionsPerDeviceMax - 1; i++) {
      open.push(await member.again(server));
      open[i].sessionId = random(16);
      await open[i].open();
    }
    // At once, from several connections: one finds room.
    const answers = await Promise.allSettled(
      connections.map((connection) =>
        connection.ask(RequestCode.OPEN, v4.encodeSessionId(random(16)))
      ),
    );
    assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 1);
    const more = v4.encodeSessionId(random(16));
    assert.equal(await member.refused(RequestCode.OPEN, more), "BUSY");
    await open[0].open(); // it is open already
    const client = await server.connect();
    await client.login(deviceB, member.vault.id);
    const other = new TestMember(client, deviceB, member.vault, member.seen);
    await other.open();
    server.clock.shiftMs += STORE.abandonedMs;
    assert.equal((await member.ask(RequestCode.OPEN, more)).code, AnswerCode.SESSION);
  });
});

Deno.test("runs of a device that were killed do not keep it from its next one", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    const killed = async () => {
      const run = await member.again(server);
      run.sessionId = random(16);
      const payload = v4.encodeSessionId(run.sessionId);
      // The server may not have noticed yet that the one before is gone.
      for (let attempt = 0; attempt < 100; attempt++) {
        const { code } = await run.client.request(RequestCode.OPEN, payload);
        if (code === AnswerCode.SESSION) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await run.open();
      run.client.close();
      return run.sessionId;
    };
    const ids: Uint8Array[] = [];
    for (let i = 0; i < 2 * STORE.sessionsPerDeviceMax; i++) {
      ids.push(await killed());
    }
    // The newest are there to come back to.
    await member.ask(RequestCode.OPEN, v4.encodeSessionId(ids.at(-1)!));
    const [first] = ids;
    assert.equal(await member.refused(RequestCode.OPEN, v4.encodeSessionId(first)), "NO_SESSION");
  });
});

Deno.test("a vault has a bounded number of open sessions, whatever the device", async () => {
  await withServer(async (server) => {
    const { vault } = await server.found();
    const { number } = (await server.vaults.findVault(vault.id))!;
    const sessions = await BackupSessions.load(server.vaults, server.clock);
    const open = async (device: Uint8Array) => {
      const session = await sessions.open(number, { id: random(16), device });
      session.connections++;
    };
    for (let i = 0; i < STORE.sessionsPerVaultMax; i++) {
      await open(new Uint8Array(16).fill(i / STORE.sessionsPerDeviceMax));
    }
    const full = /Cannot open session: the vault has too many open ones/;
    await assert.rejects(open(random(16)), full);
    await assert.rejects(open(new Uint8Array(16)), /this device has too many open ones/);
    server.clock.shiftMs += STORE.abandonedMs;
    await assert.rejects(open(random(16)), full); // it has none of its own to give up
    await open(new Uint8Array(16));
  });
});

Deno.test("two vaults never see each other's records", async () => {
  await withServer(async (server) => {
    const a = await server.found(deviceA);
    const b = await server.found(deviceB);
    await a.open();
    b.sessionId = a.sessionId; // ids of sessions do not meet either
    await b.open();
    const data = makeRecord(RecordType.DATA, [], 3000);
    const rootA = makeRecord(RecordType.ROOT, [data]);
    await a.put(data, rootA);
    assert.equal(await a.commit(rootA), "committed");
    assert.deepEqual(await b.has(data, rootA), [false, false]);
    assert.deepEqual(await b.get(data, rootA), ["missing", "missing"]);
    const rootB = makeRecord(RecordType.ROOT, [data]);
    await b.put(rootB);
    assert.deepEqual(await b.commit(rootB), { isCut: false, ids: [data.id] });
    assert.deepEqual(await b.commit(rootA), { isCut: false, ids: [rootA.id] });
  });
});

Deno.test("a damaged record is reported, denied, and healed by the next PUT", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const data = makeRecord(RecordType.DATA, [], 5000);
    const good = makeRecord(RecordType.DATA, [], 5000);
    const segment = makeRecord(RecordType.SEGMENT, [data, good]);
    const root = makeRecord(RecordType.ROOT, [segment]);
    await member.put(good, data, segment, root);
    assert.equal(await member.commit(root), "committed");
    await flipByteOf(server.dataPath, member, data);
    const [goodBytes, badBytes, absent] = await member.read(
      good,
      data,
      makeRecord(RecordType.DATA),
    );
    assert.deepEqual([goodBytes, absent], [good.bytes, "missing"]);
    assert.equal(badBytes.length, data.bytes.length);
    assert.notDeepEqual(badBytes, data.bytes); // as it is on the disk
    assert.deepEqual(await member.has(data, root), [true, true]); // nobody has looked yet
    assert.deepEqual(await member.get(good, data), [good.bytes, "damaged"]);
    assert.deepEqual(await member.has(data, good, segment, root), [false, true, false, false]);
    assert.deepEqual(await member.get(data), ["damaged"]);
    assert.deepEqual(await member.read(data, good), ["damaged", good.bytes]);
    assert.match(server.logged, /records damaged/);
    const other = makeRecord(RecordType.ROOT, [segment]);
    await member.put(other);
    assert.deepEqual(await member.commit(other), { isCut: false, ids: [data.id] });
    await member.put(data);
    assert.deepEqual(await member.has(data, good, segment, root), [true, true, true, true]);
    assert.deepEqual(await member.get(data), [data.bytes]);
    assert.equal(await member.commit(other), "committed");
  });
});

Deno.test("a damaged record with links cannot make others look complete", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const data = makeRecord(RecordType.DATA);
    const segment = makeRecord(RecordType.SEGMENT, [data]);
    const root = makeRecord(RecordType.ROOT, [segment]);
    await member.put(data, segment, root);
    // Its links now lead elsewhere, or nowhere: the number of links reads 0.
    await flipByteOf(server.dataPath, member, segment, 2);
    assert.deepEqual(await member.commit(root), { isCut: false, ids: [segment.id] });
    assert.deepEqual(await member.has(segment), [false]);
  });
});

Deno.test("a reader that does not read is not sent to, and nothing piles up", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const data = makeRecord(RecordType.DATA, [], 2 * 1024 * 1024);
    await member.put(data);
    const slow = await member.again(server);
    const resume = slow.client.pause();
    const before = Deno.memoryUsage().rss;
    const requestIds: number[] = [];
    for (let i = 0; i < 200; i++) {
      requestIds.push(await slow.client.send(RequestCode.GET, v4.encodeIds([data.id])));
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    const grownBytes = Deno.memoryUsage().rss - before;
    assert.ok(grownBytes < 100 * 1024 * 1024, `grown by ${grownBytes} bytes`);
    assert.deepEqual(await member.get(data), [data.bytes]); // others are served
    resume();
    for (const requestId of requestIds.slice(0, 20)) {
      const answer = await slow.client.answerTo(requestId);
      assert.equal(v4.decodeRecordAnswer(answer.payload).record.length, data.bytes.length);
    }
  });
});

Deno.test("PING is answered while PUTs wait to be durable", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const put = await member.sendPut(makeRecord(RecordType.DATA));
    const ping = await member.client.request(RequestCode.PING);
    assert.equal(ping.code, AnswerCode.DONE);
    assert.equal((await member.client.answerTo(put)).code, AnswerCode.STORED);
    assert.equal(refusalOf(await member.client.request(4)), "PROTOCOL");
  });
});

/** Changes a byte of a record on the disk. */
async function flipByteOf(
  dataPath: string,
  member: TestMember,
  { bytes }: TestRecord,
  offset = bytes.length - 1,
): Promise<void> {
  const folder = `${dataPath}/packs/${member.vault.id.toHex()}`;
  for (const entry of Deno.readDirSync(folder)) {
    const pack = await Deno.readFile(`${folder}/${entry.name}`);
    const at = indexOf(pack, bytes);
    if (at < 0) continue;
    pack[at + offset] ^= 1;
    await Deno.writeFile(`${folder}/${entry.name}`, pack);
    return;
  }
  assert.fail("the record is in no pack");
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = bytes.indexOf(part[0]); at >= 0; at = bytes.indexOf(part[0], at + 1)) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

Deno.test("STATUS tells a member of its own vault's space, quota and damage; asked often, of a moment ago", async () => {
  await withServer(async (server) => {
    const other = await server.found(deviceB);
    await other.open();
    await other.put(makeRecord(RecordType.DATA, [], 100_000));
    const member = await server.found(deviceA);
    const ask = async () => {
      const { code, payload } = await member.client.request(RequestCode.STATUS);
      assert.equal(code, AnswerCode.USAGE);
      return decodeUsage(payload);
    };
    const empty = { storedBytes: 0, records: 0, condemned: 0, damaged: 0, collectedMs: 0 };
    const unread = { packs: 0, unread: 0, oldestReadMs: 0 };
    assert.deepEqual(await ask(), { ...empty, ...unread, quota: {} });
    await member.open();
    await member.put(makeRecord(RecordType.DATA, [], 5000), makeRecord(RecordType.DATA));
    await writeQuota(server.vaults, member.vault.id.toHex(), { bytes: 1e6, rate: 2 ** 30 });
    assert.equal((await ask()).records, 0);
    server.clock.shiftMs += UPKEEP.usageMs;
    const usage = await ask();
    assert.deepEqual([usage.records, usage.damaged, usage.packs, usage.unread], [2, 0, 1, 1]);
    assert.ok(usage.storedBytes > 5000 && usage.storedBytes < 10_000);
    assert.deepEqual(usage.quota, { bytes: 1e6, rate: 2 ** 30 });
    const stranger = await server.connect();
    assert.equal(refusalOf(await stranger.request(RequestCode.STATUS)), "PROTOCOL");
  });
});
