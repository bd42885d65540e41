import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Database } from "../lib/db.ts";
import { BARE_QUERY } from "../lib/db_parity.ts";
import { PACK_QUERIES } from "../lib/db_upkeep.ts";
import { withFolder } from "./programs.ts";

const ID = new Uint8Array(16).fill(1);
const NOW = "2026-01-01T00:00:00.000Z";
const FILE = {
  clientId: ID,
  fileName: "a.txt",
  pathName: "files/01/a.txt",
  size: 27,
  checksum: 4294967295,
  storedAt: NOW,
};

async function withDatabase(work: (db: Database, path: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const db = Database.open(`${folder}/holdfast.db`);
    try {
      await work(db, `${folder}/holdfast.db`);
    } finally {
      db.close();
    }
  });
}

Deno.test("Database adds a name and an id once", () =>
  withDatabase(async (db) => {
    assert.equal(await db.addClient({ id: ID, name: "alice", now: NOW }), true);
    assert.equal(await db.addClient({ id: new Uint8Array(16), name: "alice", now: NOW }), false);
    assert.equal(await db.addClient({ id: ID, name: "bob", now: NOW }), false);
    assert.equal(await db.addClient({ id: new Uint8Array(16), name: "Alice", now: NOW }), true);
    assert.equal(await db.countClients(), 2);
  }));

Deno.test("Database keeps the first public key and the newest session key", () =>
  withDatabase(async (db) => {
    await db.addClient({ id: ID, name: "alice", now: NOW });
    for (const byte of [1, 2]) {
      const publicKey = new Uint8Array(160).fill(byte);
      await db.setKeys(ID, {
        publicKey,
        aesKey: new Uint8Array(16).fill(byte),
        keyAddress: "a",
        now: NOW,
      });
    }
    const client = await db.findClient(ID);
    assert.equal(client?.publicKey?.[0], 1);
    assert.equal(client?.aesKey?.[0], 2);
  }));

Deno.test("Database replaces a file of the same client and name", () =>
  withDatabase(async (db) => {
    await db.addClient({ id: ID, name: "alice", now: NOW });
    await db.putFile(FILE);
    await db.putFile({ ...FILE, size: 30 });
    assert.equal(await db.sumClientBytes(ID, 0), 30);
    assert.equal(await db.sumBytes(0), 30);
    assert.equal(await db.sumBytes(4096), 4096);
    await db.markMissing(FILE);
    assert.equal(await db.sumBytes(4096), 0);
    assert.equal((await db.findFile(ID, "a.txt"))?.verified, false);
    assert.equal((await Array.fromAsync(db.listFiles())).length, 1);
  }));

Deno.test("Database takes no file of a client that it does not know", () =>
  withDatabase(async (db) => {
    await assert.rejects(db.putFile(FILE), /FOREIGN KEY/);
    assert.equal(await db.findFile(ID, "a.txt"), undefined, "the transaction was undone");
    await db.addClient({ id: ID, name: "alice", now: NOW });
    await db.putFile(FILE);
  }));

Deno.test("Database.open() keeps what is there, and refuses what is newer or none", () =>
  withFolder(async (folder) => {
    const path = `${folder}/holdfast.db`;
    const first = Database.open(path);
    await first.addClient({ id: ID, name: "alice", now: NOW });
    first.close();
    const second = Database.open(path);
    assert.equal(await second.countClients(), 1);
    second.close();
    const raw = new DatabaseSync(path);
    assert.deepEqual({ ...raw.prepare("PRAGMA journal_mode").get() }, { journal_mode: "wal" });
    raw.exec("PRAGMA user_version = 999");
    raw.close();
    assert.throws(() => Database.open(path), /Cannot use schema 999/);
    Deno.writeTextFileSync(path, "this is not a database, whatever its name says".repeat(100));
    assert.throws(() => Database.open(path), /Cannot open database/);
  }));

Deno.test("what is asked once for each pack does not look at all packs", () =>
  withDatabase(async (db) => {
    for (const [name, sql] of Object.entries(PACK_QUERIES)) {
      const numbers = sql.match(/\?/g)!.map(() => 1);
      const steps = db.sql.all(`EXPLAIN QUERY PLAN ${sql}`, ...numbers).map(({ detail }) => detail);
      assert.equal(steps.length, 1, `${name}: ${steps}`);
      assert.match(String(steps[0]), /^SEARCH packs USING .*(scrubbed|rowid)[<>]\?\)$/, name);
    }
    const steps = db.sql.all(`EXPLAIN QUERY PLAN ${BARE_QUERY}`).map(({ detail }) => detail);
    assert.deepEqual(steps, ["SEARCH packs USING INDEX packs_bare (parity=?)"]);
  }));
