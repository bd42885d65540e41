import assert from "node:assert/strict";
import { join } from "node:path";
import * as v4 from "../../lib/protocol_v4.ts";
import { RequestCode } from "../../lib/protocol_v4.ts";
import { RecordType } from "../../lib/record.ts";
import { VaultStore } from "../../lib/server/vault_store.ts";
import { Log } from "../../lib/log.ts";
import {
  deviceA,
  deviceB,
  makeRecord,
  type TestMember,
  type TestServer,
  withServer,
} from "./fixture.ts";

/** A vault with one snapshot, in two packs. */
async function backUp(server: TestServer, device = deviceA) {
  const member = await server.found(device);
  await member.open();
  const data = makeRecord(RecordType.DATA, [], 3000);
  const segment = makeRecord(RecordType.SEGMENT, [data]);
  const root = makeRecord(RecordType.ROOT, [segment]);
  await member.put(data);
  await member.put(segment, root);
  assert.equal(await member.commit(root), "committed");
  return { member, data, segment, root };
}

function packPaths(server: TestServer, member: TestMember): string[] {
  const folder = join(server.dataPath, "packs", member.vault.id.toHex());
  return [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name)).sort();
}

/** Makes the index forget what it knows of records, as if a crash had come before. */
function forgetRecords(server: TestServer): void {
  const db = server.reopen();
  db.sql.run("DELETE FROM records");
  db.sql.run("DELETE FROM packs");
  db.close();
}

Deno.test("a start adopts packs that the index does not know, and removes what was never finished", async () => {
  await withServer(async (server) => {
    const { member, data, root } = await backUp(server);
    const [first] = packPaths(server, member);
    await server.restart(() => {
      forgetRecords(server);
      Deno.writeTextFileSync(`${first}.12345678.tmp`, "half a pack");
    });
    const later = await member.again(server);
    assert.deepEqual(await later.has(data, root), [true, true]);
    assert.deepEqual(await later.get(data, root), [data.bytes, root.bytes]);
    assert.equal(packPaths(server, member).length, 2);
  });
});

Deno.test("records whose pack is gone are damaged, until the pack is back", async () => {
  await withServer(async (server) => {
    const { member, data, segment, root } = await backUp(server);
    const [first] = packPaths(server, member);
    await server.restart(() => Deno.renameSync(first, join(server.dataPath, "away")));
    const later = await member.again(server);
    assert.deepEqual(await later.has(data, segment, root), [false, false, false]);
    assert.deepEqual(await later.get(data, root), ["damaged", root.bytes]);
    assert.match(server.logged, /pack is gone/);
    await server.restart(() => Deno.renameSync(join(server.dataPath, "away"), first));
    const last = await member.again(server);
    assert.deepEqual(await last.has(data, segment, root), [true, true, true]);
  });
});

Deno.test("of a pack that was cut short, what is left stays", async () => {
  await withServer(async (server) => {
    const { member, data, segment, root } = await backUp(server);
    const second = packPaths(server, member)[1];
    await server.restart(() => Deno.truncateSync(second, 41 + 36 + segment.bytes.length + 36 + 5));
    const later = await member.again(server);
    assert.deepEqual(await later.has(data, segment, root), [true, true, false]);
    await later.open();
    await later.put(root);
    assert.deepEqual(await later.has(root), [true]);
  });
});

Deno.test("a pack with a damaged trailer is adopted record by record", async () => {
  await withServer(async (server) => {
    const { member, data, segment, root } = await backUp(server);
    for (const spoil of ["flip", "cut"]) {
      await server.restart(() => {
        forgetRecords(server);
        const path = packPaths(server, member)[1];
        const bytes = Deno.readFileSync(path);
        if (spoil === "flip") bytes[bytes.length - 50] ^= 1;
        Deno.writeFileSync(path, spoil === "cut" ? bytes.subarray(0, -60) : bytes);
      });
      const later = await member.again(server);
      assert.deepEqual(await later.has(data, segment, root), [true, true, true], spoil);
      assert.match(server.logged, /pack damaged/);
    }
  });
});

Deno.test("a start adopts events, and vaults, that the index does not know", async () => {
  await withServer(async (server) => {
    const { member, root } = await backUp(server);
    await server.restart(() => {
      const db = server.reopen();
      for (const table of ["records", "packs", "sessions", "events", "logins", "vaults"]) {
        db.sql.run(`DELETE FROM ${table}`);
      }
      db.close();
    });
    const later = await member.again(server);
    assert.deepEqual(await later.has(root), [true]);
    const page = await later.ask(RequestCode.EVENTS, v4.encodeEventsAfter(0));
    assert.equal(v4.decodeEventsPage(page.payload).events.length, 2);
    assert.match(server.logged, /events adopted/);
    await later.open();
    const next = makeRecord(RecordType.ROOT);
    await later.put(next);
    assert.equal(await later.commit(next), "committed");
  });
});

Deno.test("a vault whose journal lost acknowledged events is closed, and others are served", async () => {
  await withServer(async (server) => {
    const { member } = await backUp(server, deviceA);
    const other = await backUp(server, deviceB);
    const path = join(server.dataPath, "journal", member.vault.id.toHex(), "events");
    await server.restart(() => Deno.truncateSync(path, Deno.statSync(path).size - 1));
    assert.match(server.logged, /journal damaged/);
    await assert.rejects(member.again(server), /damaged/);
    const later = await other.member.again(server);
    assert.deepEqual(await later.has(other.root), [true]);
  });
});

Deno.test("rebuild makes the index from packs and journals alone, and prefers the younger copy", async () => {
  await withServer(async (server) => {
    const { member, data, segment, root } = await backUp(server, deviceA);
    const other = await backUp(server, deviceB);
    const [first] = packPaths(server, member);
    const bytes = Deno.readFileSync(first);
    bytes[41 + 36 + 100] ^= 1; // within the only record of the pack
    Deno.writeFileSync(first, bytes);
    assert.deepEqual(await member.get(data), ["damaged"]);
    await member.put(data); // heals it in a younger pack
    await server.restart(async () => {
      for (const name of ["holdfast.db", "holdfast.db-wal", "holdfast.db-shm"]) {
        await Deno.remove(join(server.dataPath, name)).catch(() => {});
      }
      const db = server.reopen();
      const sink = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
      const log = new Log({ format: "text", sink, now: Date.now });
      const options = { dataPath: server.dataPath, db, log, clock: server.clock };
      const result = await VaultStore.rebuild(options);
      assert.deepEqual(result, { vaults: 2, packsAdopted: 5, damaged: 0 });
      assert.deepEqual(await VaultStore.rebuild(options), result);
      db.close();
    });
    const later = await member.again(server);
    assert.deepEqual(await later.has(data, segment, root), [true, true, true]);
    assert.deepEqual(await later.get(data), [data.bytes]);
    assert.deepEqual(await later.has(other.data), [false]);
    const elsewhere = await other.member.again(server);
    assert.deepEqual(await elsewhere.get(other.data), [other.data.bytes]);
  });
});
