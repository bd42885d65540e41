import assert from "node:assert/strict";
import { join } from "node:path";
import { runBackup } from "../../lib/client/backup_run.ts";
import { connectWire, logInDevice } from "../../lib/client/login_v4.ts";
import { deviceLogin, readProfile } from "../../lib/client/profile.ts";
import { ProfileFolder } from "../../lib/client/profile_folder.ts";
import { scanTree } from "../../lib/client/scan.ts";
import { openVault, refreshJournal, signByDevice } from "../../lib/client/vault_access.ts";
import { StaleEventError } from "../../lib/client/answer_error.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { encodeCommit } from "../../lib/journal_body.ts";
import { EventKind } from "../../lib/journal.ts";
import { decodeRecord, encodeRecordHeader, recordId, RecordType } from "../../lib/record.ts";
import { createSession, sessionEpoch } from "../../lib/vault/session.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import { type DeviceBench, withDevices } from "./device_bench.ts";

Deno.test("devices, journal and snapshots show who is in the vault and what it did", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const source = bench.write("source", { "a": "one" });
    await bench.must("writer", "backup", source, "--tag", "weekly");
    const shown = await bench.json("owner", "devices");
    assert.deepEqual(shown.map(({ name, role }) => [name, role]), [["owner", "owner"], [
      "writer",
      "writer",
    ]]);
    const [owner, writer] = shown;
    assert.ok(owner.isSelf && !writer.isSelf && !writer.revoked);
    assert.ok(owner.lastBackup === undefined && Date.parse(writer.lastBackup) > 0);
    assert.ok(Date.now() - Date.parse(writer.lastSeen) < 60_000);
    assert.match((await bench.must("writer", "devices")).stdout, /writer {2}.* writer \(this dev/);
    const journal = await bench.must("owner", "journal");
    const lines = journal.stdout.trimEnd().split("\n").map((line) => line.slice(29));
    assert.deepEqual(lines.slice(0, 3), [
      '"owner" founded the vault, as its first owner',
      '"owner" left the keys up to epoch 1 for the recovery code',
      'an invite of "owner" let in "writer" as a writer',
    ]);
    assert.match(lines[3], /^"writer" made snapshot [0-9a-f]{12}$/);
    const events = await bench.json("writer", "journal");
    assert.deepEqual(events.map(({ kind }) => kind), ["found", "slot", "device", "commit"]);
    const count = async (...filter: string[]) =>
      (await bench.json("owner", "snapshots", ...filter)).length;
    const [{ host }] = await bench.json("owner", "snapshots");
    assert.equal(host, readHostName() ?? "writer");
    assert.equal(await count("--device", "writer", "--tag", "weekly", "--host", host), 1);
    assert.equal(await count("--path", source, "--last", "1"), 1);
    assert.equal(await count("--host", "elsewhere") + await count("--device", "owner"), 0);
    assert.equal((await bench.run("writer", "snapshots", "--host", host)).code, 4);
  });
});

Deno.test("a revoked device is out within a second, also on an open connection", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const profile = await readProfile(new ProfileFolder(bench.path("writer")));
    const wire = await connectWire(profile.server);
    const { pin } = profile.server;
    await logInDevice(wire, { pin, login: await deviceLogin(profile), eventsAfter: 0 });
    const ended = wire.ended.then(() => Date.now());
    await bench.must("owner", "devices", "revoke", "writer");
    const revoked = (await bench.json("owner", "journal")).at(-1)!;
    assert.equal(revoked.kind, "revoke");
    const late = new Promise<number>((resolve) => setTimeout(resolve, 5000, Infinity));
    assert.ok(await Promise.race([ended, late]) - Date.parse(revoked.time) < 1000);
    wire.close();
    for (const command of ["snapshots", "devices", "journal"]) {
      const ran = await bench.run("writer", command);
      assert.equal(ran.code, 4);
      assert.match(ran.stderr, /revoked/);
    }
    // A writer knew no key that opens anything, so none had to be changed.
    assert.equal((await bench.json("owner", "devices"))[1].revoked, true);
    const last = await bench.run("owner", "devices", "revoke", "owner");
    assert.equal(last.code, 4);
    assert.match(last.stderr, /last owner/);
    assert.equal((await bench.run("owner", "devices", "revoke", "nobody")).code, 2);
  });
});

Deno.test("a device that calls itself by another's id is not taken for it", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const [, writer] = await bench.json("owner", "devices");
    const invited = await bench.must("owner", "invite", "--role", "writer");
    const name = writer.id.slice(0, 12);
    await bench.must("liar", "init", invited.stdout.trim(), "--device", name);
    const [{ device }] = await bench.json("owner", "devices", "revoke", name);
    assert.equal(device, writer.id);
  });
});

Deno.test("a change of keys costs what is read again, and old and new snapshots are restored", async () => {
  await withDevices(async (bench) => {
    await bench.join("reader", "reader");
    await bench.join("writer", "writer");
    const before = { "kept/big": pseudoRandom(1_500_000, 1), "kept/small": "s", "old": "old" };
    const source = bench.write("source", before);
    const [first] = await bench.json("writer", "backup", source);
    await bench.must("owner", "keys", "rotate");
    bench.write("source", { "old": "changed", "new": pseudoRandom(400_000, 2) });
    const [second] = await bench.json("writer", "backup", source);
    assert.ok(second.bytesRead < 500_000, `${second.bytesRead} bytes read`);
    assert.equal(second.files.unchanged, 2);
    const after = { ...before, "old": "changed", "new": pseudoRandom(400_000, 2) };
    for (const device of ["reader", "owner"]) {
      await bench.checkRestore(device, { snapshot: first.snapshot, source, files: before });
      await bench.checkRestore(device, { snapshot: second.snapshot, source, files: after });
    }
    // Whoever could read and is revoked knows none of the keys that come after.
    const [revoked] = await bench.json("owner", "devices", "revoke", "reader");
    assert.equal(revoked.epoch, 3);
    const thief = await readProfile(new ProfileFolder(bench.path("reader")));
    assert.equal(thief.keyring.epochs.length, 2);
    assert.equal((await bench.run("reader", "snapshots")).code, 4);
    // A device whose invite is older than the change gets the keys from the next owner that comes by.
    const code = await bench.must("owner", "invite", "--role", "reader");
    await bench.must("owner", "keys", "rotate");
    await bench.must("late", "init", code.stdout.trim(), "--device", "late");
    await bench.must("owner", "devices");
    const [late] = await bench.json("late", "backup", source);
    await bench.checkRestore("late", { snapshot: late.snapshot, source, files: after });
    // The recovery code got them too.
    const address = `127.0.0.1:${bench.server.port}`;
    await bench.must("saved", "recover", address, "--code-file", bench.path("code"));
    for (const { snapshot } of [first, second, late]) {
      const files = snapshot === first.snapshot ? before : after;
      await bench.checkRestore("saved", { snapshot, source, files });
    }
  });
});

Deno.test("a backup under way when the keys change is refused, and goes on with the new ones", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const files = { "a": pseudoRandom(300_000, 3), "b": "text" };
    const source = bench.write("source", files);
    const vault = await openVault(new ProfileFolder(bench.path("writer")));
    let scans = 0;
    const result = await runBackup(vault, {
      plan: {
        ...{ roots: [source], tags: [], host: "test" },
        scan: (tally) => {
          const onSkip = (path: string, reason: string) => tally.skip(path, reason);
          const options = { exclude: () => false, isOneFileSystem: false, ownFolder: undefined };
          const batches = async function* () {
            if (++scans === 1) rotateNow(bench);
            yield [...scanTree([source], { ...options, onSkip })].filter((one) => "entry" in one);
          };
          return { startMs: Date.now(), batches: batches() };
        },
      },
      interrupted: new Promise<never>(() => {}),
      workers: 1,
      onPass: () => {},
    });
    vault.session.close();
    assert.deepEqual([scans, result.passes, vault.profile.keyring.epochs.length], [2, 2, 2]);
    assert.equal((await bench.json("owner", "snapshots")).length, 1);
    await bench.checkRestore("owner", { snapshot: result.root.toHex(), source, files });
    const records = await sessionsOf(bench, result.root);
    assert.deepEqual(records, [2]); // nothing of the first attempt is in it
  });
});

Deno.test("recovery: an empty machine restores byte for byte; a new code ends the old one", async () => {
  await withDevices(async (bench) => {
    const files = { "x/y": pseudoRandom(700_000, 4), "z": "" };
    const source = bench.write("source", files);
    const [{ snapshot }] = await bench.json("owner", "backup", source);
    const renew = ["recovery", "new", "--recovery-file", bench.path("code2")];
    await bench.must("owner", ...renew);
    assert.equal((await bench.run("owner", ...renew)).code, 2); // never over a code that is there
    Deno.removeSync(bench.path("owner"), { recursive: true });
    const address = `127.0.0.1:${bench.server.port}`;
    const recover = (name: string, code: string) =>
      bench.run(name, "recover", address, "--code-file", bench.path(code), "--device", name);
    const old = await recover("old", "code");
    assert.equal(old.code, 4);
    assert.match(old.stderr, /no vault at this server has this recovery code/);
    const typo = Deno.readTextFileSync(bench.path("code2")).replace(
      /^./,
      (c) => c === "A" ? "B" : "A",
    );
    Deno.writeTextFileSync(bench.path("typo"), typo);
    const wrong = await recover("wrong", "typo");
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /typing error/);
    assert.equal((await recover("new", "code2")).code, 0);
    await bench.checkRestore("new", { snapshot, source, files });
    await bench.must("new", "devices", "revoke", "owner");
    await bench.must("new", "backup", source);
  });
});

/** As the client may know it, which has no permission to ask the system. */
function readHostName(): string | undefined {
  try {
    return Deno.readTextFileSync("/etc/hostname").trim() || undefined;
  } catch {
    return undefined;
  }
}

function rotateNow(bench: DeviceBench): void {
  const client = new URL("../../client.ts", import.meta.url).pathname;
  const args = ["keys", "rotate", "--profile", bench.path("owner")];
  const permissions = ["--allow-net", "--allow-read", "--allow-write"];
  const { code } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...permissions, client, ...args],
    stderr: "null",
  }).outputSync();
  assert.equal(code, 0);
}

/** Epochs of the sessions that a snapshot's root links. */
async function sessionsOf(bench: DeviceBench, root: Uint8Array): Promise<number[]> {
  const vault = await openVault(new ProfileFolder(join(bench.folder, "owner")));
  try {
    const epochs: number[] = [];
    for (const link of decodeRecord((await vault.session.getOne(root))!).links) {
      const record = (await vault.session.getOne(link))!;
      if (decodeRecord(record).type === RecordType.SESSION) epochs.push(sessionEpoch(record, link));
    }
    return epochs;
  } finally {
    vault.session.close();
  }
}

Deno.test("a client that knows of new keys and seals with the old ones commits nothing", async () => {
  await withDevices(async (bench) => {
    await bench.join("writer", "writer");
    const vault = await openVault(new ProfileFolder(bench.path("writer")));
    const { profile, session } = vault;
    const { vaultId, journal } = profile;
    const { readKey } = journal.facts.epochs[0];
    const old = await createSession({ vaultId, epoch: 1, readKey });
    await bench.must("owner", "keys", "rotate");
    await session.openSession(crypto.getRandomValues(new Uint8Array(16)));
    const header = encodeRecordHeader({ type: RecordType.ROOT, links: [old.id] });
    const record = concatBytes(header, crypto.getRandomValues(new Uint8Array(64)));
    const root = recordId(record);
    const puts = [session.put(old.id, old.record), session.put(root, record)];
    await Promise.all([...puts, session.flush()]);
    await refreshJournal(vault);
    const body = encodeCommit({ root, setLabel: new Uint8Array(16), tagLabels: [] });
    const statement = await signByDevice(profile, { kind: EventKind.COMMIT, body });
    await assert.rejects(session.commit(statement), StaleEventError);
    session.close();
  });
});
