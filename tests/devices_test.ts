/** What thieves of devices, and a stolen owner, can do, through the real programs: some of them with a modified client. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../lib/db.ts";
import { DamagedError, RefusedError } from "../lib/errors.ts";
import {
  encodeCommit,
  encodeDevice,
  encodePolicy,
  encodeRecoveryFields,
  encodeRevoke,
  encodeRoots,
  encodeSlot,
} from "../lib/journal_body.ts";
import { proveCode } from "../lib/journal_code.ts";
import { EventKind } from "../lib/journal.ts";
import { Log } from "../lib/log.ts";
import { decodeRecord, encodeRecordHeader, recordId, RecordType } from "../lib/record.ts";
import { concatBytes } from "../lib/bytes.ts";
import { Role } from "../lib/identity.ts";
import { SYSTEM_CLOCK } from "../lib/time.ts";
import { VaultStore } from "../lib/server/vault_store.ts";
import { importReadKeys, readProfile } from "../lib/client/profile.ts";
import { ProfileFolder } from "../lib/client/profile_folder.ts";
import { openVault, signByDevice } from "../lib/client/vault_access.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel } from "../lib/vault/secrets.ts";
import { openRecord } from "../lib/vault/seal.ts";
import { deriveRecoveryKey } from "../lib/vault/recovery.ts";
import { openSession, type Session, unmaskKey } from "../lib/vault/session.ts";
import { openRoot, rootSession } from "../lib/vault/root.ts";
import { pseudoRandom } from "./vault/fixture.ts";
import type { UnwrapKey } from "../lib/vault/wrap.ts";
import { withDevices } from "./client/device_bench.ts";

Deno.test("a writer's whole profile and the server's whole disk open nothing that it wrote", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const secret = "the plans of yesterday";
    const source = bench.write("source", { "plans": secret.repeat(1000) });
    const [{ snapshot }] = await bench.json("writer", "backup", source);
    await bench.server.stop();
    const stolen = await readProfile(new ProfileFolder(bench.path("writer")));
    assert.deepEqual(await importReadKeys(stolen.keyring), []);
    const records = await readStore(bench.server.dataPath);
    // Every private key that is in the profile, on every session that is on the disk.
    const { vaultId, device } = stolen;
    const byThief = await openSessions(records, { vaultId, readKeys: [device] });
    assert.equal(byThief.size, 0);
    // The write secret names the key of a record only to those who know its contents.
    const { recordKey } = deriveWriteKeys(stolen.keyring.epochs[0].writeSecret);
    for (const [id, record] of records) {
      if (decodeRecord(record).type !== RecordType.DATA) continue;
      const open = () => openRecord(record, { id: Uint8Array.fromHex(id), key: recordKey });
      assert.throws(open, DamagedError);
    }
    for (const folder of [bench.path("writer"), bench.server.dataPath]) {
      assert.ok(!holdsText(folder, secret), `${folder} holds it in clear`);
    }
    // The same attempt with an owner's keys opens them: it is the keys that are missing.
    const owner = await readProfile(new ProfileFolder(bench.path("owner")));
    const readKeys = await importReadKeys(owner.keyring) as UnwrapKey[];
    const sessions = await openSessions(records, { vaultId, readKeys });
    assert.ok(sessions.size > 0);
    const record = records.get(snapshot)!;
    const session = sessions.get(rootSession(record).toHex())!;
    const root = await openRoot(record, { id: Uint8Array.fromHex(snapshot), session });
    const key = unmaskKey(session, root.top);
    const top = openRecord(records.get(root.top.id.toHex())!, { id: root.top.id, key });
    assert.match(new TextDecoder().decode(top.plaintext), /plans/);
  });
});

Deno.test("a writer with a modified client cannot read, delete, raise itself or spoil another's backups", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    await bench.join("other", "writer");
    const files = { "a": pseudoRandom(900_000, 5), "b/c": "small" };
    const source = bench.write("source", files);
    const [{ snapshot }] = await bench.json("other", "backup", source);
    const vault = await openVault(new ProfileFolder(bench.path("writer")));
    const { session, profile } = vault;
    const root = Uint8Array.fromHex(snapshot);
    await assert.rejects(session.get([root], () => {}), RefusedError);
    const { device, journal } = profile;
    const zeros = (size: number) => new Uint8Array(size);
    const rules = { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    const other = [...journal.facts.devices.values()][2].id;
    const code = await deriveRecoveryKey(crypto.getRandomValues(zeros(32)));
    const fields = encodeRecoveryFields({ keys: code.publicKeys });
    const change = { kind: EventKind.RECOVERY, signer: device.id, seen: journal.newest };
    const proven = { vaultId: profile.vaultId, sign: code.sign };
    const recovery = await proveCode({ ...change, body: fields }, proven);
    const name = zeros(40);
    const raised = { role: Role.OWNER, keys: device.publicKey, sealedName: name };
    const attempts: [EventKind, Uint8Array][] = [
      [EventKind.FORGET, encodeRoots([root])],
      [EventKind.DROP, encodeRoots([root])],
      [EventKind.REVOKE, encodeRevoke(other)],
      [EventKind.POLICY, encodePolicy({ holdMs: 86_400_000, ...rules })],
      [EventKind.RECOVERY, recovery],
      [EventKind.DEVICE, encodeDevice(raised)],
      [EventKind.SLOT, encodeSlot({ recipient: other, epoch: 1, sealed: zeros(2000) })],
    ];
    for (const [kind, body] of attempts) {
      const statement = await signByDevice(profile, { kind, body });
      await assert.rejects(session.append(statement), RefusedError, `kind ${kind}`);
    }
    await assert.rejects(
      session.invite({ tokenHash: zeros(32), expiresMs: Date.now() + 1000, bundle: zeros(9) }),
      RefusedError,
    );

    // Other bytes under an id that another device will ask for.
    await session.openSession(crypto.getRandomValues(zeros(16)));
    const header = encodeRecordHeader({ type: RecordType.DATA, links: [] });
    const junk = concatBytes(header, crypto.getRandomValues(zeros(500)));
    await assert.rejects(session.put(root, junk), /bytes of a record and its id differ/);
    // A root that links what is not there, and one that links another's records: its own affair.
    const lying = makeRoot([crypto.getRandomValues(zeros(32)), root]);
    await Promise.all([session.put(lying.id, lying.record), session.flush()]);
    const commit = async (id: Uint8Array) => {
      const labelKey = deriveLabelKey(profile.keyring.epochs[0].writeSecret);
      const body = encodeCommit({
        root: id,
        setLabel: setLabel(labelKey, [source]),
        tagLabels: [],
      });
      return await session.commit(await signByDevice(profile, { kind: EventKind.COMMIT, body }));
    };
    assert.ok("missing" in await commit(lying.id));
    // A flood of snapshots with the other device's label.
    for (let i = 0; i < 40; i++) {
      const { id, record } = makeRoot([]);
      await Promise.all([session.put(id, record), session.flush()]);
      assert.ok("appended" in await commit(id));
      for await (const event of session.events(journal.newest.number)) journal.apply(event);
    }
    session.close();

    bench.write("source", { "b/c": "changed" });
    const [next] = await bench.json("other", "backup", source);
    const after = { ...files, "b/c": "changed" };
    await bench.checkRestore("owner", { snapshot, source, files });
    await bench.checkRestore("owner", { snapshot: next.snapshot, source, files: after });
    // "latest" of the device that is meant, whatever others commit.
    await bench.must("owner", "ls", "latest", "--device", "other");
  });
});

Deno.test("twenty devices back up into one vault at once, share, and all can be restored", async () => {
  await withDevices(async (bench) => {
    const shared = pseudoRandom(1_200_000, 6);
    const names = Array.from({ length: 20 }, (_, i) => `device${i}`);
    await inGroups(names, 4, (name) => bench.join(name, "writer"));
    const filesOf = (name: string) => ({ shared, "own": `only of ${name}`, "sub/x": "same" });
    for (const name of names) bench.write(`source-${name}`, filesOf(name));
    const ran = await Promise.all(
      names.map((name) => bench.json(name, "backup", bench.path(`source-${name}`))),
    );
    const sent = ran.reduce((sum, [{ bytesSent }]) => sum + bytesSent, 0);
    const stored = sizeOf(join(bench.server.dataPath, "packs"));
    assert.ok(stored < 3 * shared.length, `${stored} bytes stored of ${sent} sent`);
    await bench.must("owner", "check", "--read-data");
    assert.equal((await bench.json("owner", "snapshots")).length, names.length);
    await inGroups(names, 4, async (name) => {
      const { snapshot } = ran[names.indexOf(name)][0];
      const source = bench.path(`source-${name}`);
      await bench.checkRestore("owner", { snapshot, source, files: filesOf(name) });
    });
  });
});

Deno.test("a stolen owner cannot lock the others out: the operator brings them back, and all are told", async () => {
  await withDevices(async (bench) => {
    await bench.join("thief", "owner");
    await bench.join("writer", "writer");
    const source = bench.write("source", { "a": "mine" });
    const [{ snapshot }] = await bench.json("owner", "backup", source);
    const [own] = await bench.json("owner", "devices");
    // The thief shuts everybody else out, and takes the recovery code with it.
    await bench.must("thief", "devices", "revoke", "owner");
    await bench.must("thief", "recovery", "new", "--recovery-file", bench.path("code2"));
    assert.equal((await bench.run("owner", "snapshots")).code, 4);
    const address = `127.0.0.1:${bench.server.port}`;
    const recover = (name: string) =>
      bench.run(name, "recover", address, "--code-file", bench.path("code"), "--device", name);
    assert.equal((await recover("saved")).code, 4);

    const busy = await bench.server.run("devices");
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /another server uses it/);
    await bench.server.stop();
    const vault = (await bench.server.run("devices")).stdout.trim();
    const listed = await bench.server.run("devices", "--vault", vault);
    assert.match(listed.stdout, new RegExp(`device  ${own.id}  owner  revoked, held until`));
    const [, code] = /code {4}([0-9a-f]+) {2}replaced/.exec(listed.stdout)!;
    const restore = async (...what: string[]) =>
      await bench.server.run("devices", "restore", "--vault", vault, ...what);
    for (const what of [own.id, code]) assert.equal((await restore(what)).code, 0);
    // Nothing but what was there: no device in force, no unknown one, nothing twice.
    for (const what of [own.id, "ff".repeat(16), code]) assert.equal((await restore(what)).code, 2);
    await bench.server.start();

    const told = await bench.must("writer", "devices");
    assert.match(
      told.stderr,
      /warning: device "owner" is back .* by the word of the server's oper/,
    );
    assert.match(told.stdout, /brought back by the server's operator/);
    await bench.must("owner", "devices", "revoke", "thief");
    assert.equal((await bench.run("thief", "snapshots")).code, 4);
    // A device does not take keys from whom the operator alone has brought back.
    const doubtful = await bench.run("writer", "backup", source);
    assert.equal(doubtful.code, 4);
    assert.match(doubtful.stderr, /hint: .*"client keys accept"/);
    await bench.must("writer", "keys", "accept");
    const [second] = await bench.json("writer", "backup", source);
    await bench.checkRestore("owner", { snapshot, source, files: { "a": "mine" } });
    await bench.checkRestore("owner", {
      ...{ snapshot: second.snapshot, source, files: { "a": "mine" } },
    });
    // The old code is good again, and gets the keys when an owner says so.
    assert.equal((await recover("saved")).code, 0);
    await bench.must("owner", "keys", "rotate", "--restored");
    assert.ok((await bench.json("saved", "keys", "accept"))[0].isNewest);
    await bench.checkRestore("saved", {
      ...{ snapshot: second.snapshot, source, files: { "a": "mine" } },
    });
    const kinds = (await bench.json("owner", "journal")).map(({ by, kind }) => `${kind} ${by}`);
    assert.equal(kinds.filter((kind) => kind === "restore the server's operator").length, 2);
  });
});

Deno.test("a recovered device takes no keys from an owner whom the operator has brought back", async () => {
  await withDevices(async (bench) => {
    await bench.join("thief", "owner");
    const source = bench.write("source", { "a": "mine" });
    const [{ snapshot }] = await bench.json("owner", "backup", source);
    await bench.must("owner", "devices", "revoke", "thief");
    const [, thief] = await bench.json("owner", "devices");
    await bench.server.stop();
    const vault = (await bench.server.run("devices")).stdout.trim();
    const restored = await bench.server.run("devices", "restore", "--vault", vault, thief.id);
    assert.equal(restored.code, 0, restored.stderr);
    await bench.server.start();
    await bench.must("thief", "keys", "rotate"); // also for the recovery code
    const address = `127.0.0.1:${bench.server.port}`;
    const recovered = await bench.must(
      ...["saved", "recover", address, "--code-file", bench.path("code")] as const,
    );
    assert.match(recovered.stderr, /warning: device "thief" is back in the vault/);
    await bench.checkRestore("saved", { snapshot, source, files: { "a": "mine" } });
    const doubtful = await bench.run("saved", "backup", source);
    assert.equal(doubtful.code, 4);
    assert.match(doubtful.stderr, /an owner that the server's operator has brought back/);
    await bench.must("saved", "devices", "revoke", "thief"); // and changes the keys
    const [second] = await bench.json("saved", "backup", source);
    const files = { "a": "mine" };
    await bench.checkRestore("owner", { snapshot: second.snapshot, source, files });
    await bench.checkRestore("saved", { snapshot: second.snapshot, source, files });
  });
});

/** Every record on the disk, by id. */
async function readStore(dataPath: string): Promise<Map<string, Uint8Array>> {
  const db = Database.open(join(dataPath, "holdfast.db"));
  const sink = { write: (bytes: Uint8Array) => Promise.resolve(bytes.length) };
  const log = new Log({ format: "text", sink, now: SYSTEM_CLOCK.wall });
  try {
    const store = await VaultStore.open({ dataPath, db, log, clock: SYSTEM_CLOCK });
    const ids: Uint8Array[] = [];
    for (const row of db.sql.iterate("SELECT id FROM records")) ids.push(row.id as Uint8Array);
    const [vaultId] = await Array.fromAsync(store.db.listVaults());
    const vault = (await store.enter(vaultId))!;
    const records = new Map<string, Uint8Array>();
    for await (const read of vault.reader.readAll(ids)) {
      assert.equal(read.state, "found");
      if (read.state === "found") records.set(ids[read.index].toHex(), read.bytes.slice());
    }
    store.leave(vault);
    await store.close();
    return records;
  } finally {
    db.close();
  }
}

/** The sessions that one of the keys opens. */
async function openSessions(
  records: Map<string, Uint8Array>,
  { vaultId, readKeys }: { vaultId: Uint8Array; readKeys: UnwrapKey[] },
): Promise<Map<string, Session>> {
  const opened = new Map<string, Session>();
  for (const [name, record] of records) {
    if (decodeRecord(record).type !== RecordType.SESSION) continue;
    for (const readKey of readKeys) {
      try {
        const id = Uint8Array.fromHex(name);
        opened.set(name, await openSession(record, { id, vaultId, readKey }));
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
      }
    }
  }
  return opened;
}

/** A root that nobody can open. */
function makeRoot(links: Uint8Array[]): { id: Uint8Array; record: Uint8Array } {
  const header = encodeRecordHeader({ type: RecordType.ROOT, links });
  const record = concatBytes(header, crypto.getRandomValues(new Uint8Array(100)));
  return { id: recordId(record), record };
}

function* filesBelow(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* filesBelow(path);
    else yield path;
  }
}

function holdsText(folder: string, text: string): boolean {
  const decoder = new TextDecoder("latin1");
  return [...filesBelow(folder)].some((path) =>
    decoder.decode(Deno.readFileSync(path)).includes(text)
  );
}

function sizeOf(folder: string): number {
  return [...filesBelow(folder)].reduce((sum, path) => sum + Deno.statSync(path).size, 0);
}

/** A few at a time: each is a process of its own. */
async function inGroups<T>(
  items: T[],
  size: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < items.length; i += size) {
    await Promise.all(items.slice(i, i + size).map(work));
  }
}
