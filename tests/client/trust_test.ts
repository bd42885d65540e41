import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeEvent } from "../../lib/journal.ts";
import { decodeEvent, EventKind } from "../../lib/journal.ts";
import { encodeCommit, encodeSlot } from "../../lib/journal_body.ts";
import { formatRecoveryCode } from "../../lib/vault/recovery.ts";
import { runClient } from "./run_client.ts";
import { signByDevice } from "../../lib/client/vault_access.ts";
import { writeProfile } from "../../lib/client/profile.ts";
import { FakeServer } from "./fake_server.ts";
import { dir, file, type VaultFixture, withVault } from "./vault_fixture.ts";

/** An event with another place or other bytes, and those behind it chained anew. */
function rechain(
  events: Uint8Array[],
  changed: Map<number, (statement: Uint8Array) => Uint8Array>,
): Uint8Array[] {
  const chained: Uint8Array[] = [];
  let previous = new Uint8Array(32);
  for (const [index, event] of events.entries()) {
    const { number, timeMs, hash: _ } = decodeEvent(event);
    let statement = event.slice(1 + 8 + 32 + 8);
    statement = new Uint8Array(changed.get(number)?.(statement) ?? statement);
    const made = encodeEvent({ number: index + 1, previous, timeMs }, statement);
    previous = new Uint8Array(decodeEvent(made).hash);
    chained.push(made);
  }
  return chained;
}

async function withSnapshots(test: (vault: VaultFixture) => Promise<void>): Promise<void> {
  await withVault(async (vault) => {
    for (let i = 0; i < 3; i++) {
      await vault.snapshot([dir("/data"), file("/data/x", `version ${i}`)]);
    }
    assert.equal((await vault.run("snapshots")).code, 0); // the profile has seen events 1 to 5
    await test(vault);
  });
}

Deno.test("a journal that is shorter than what this device has seen is named", async () => {
  await withSnapshots(async (vault) => {
    vault.server.lies.events = (events) => events.slice(0, 4);
    for (const command of ["snapshots", "invite"]) {
      const ran = await vault.run(command);
      assert.equal(ran.code, 5);
      assert.match(
        ran.stderr,
        /Cannot trust journal: event 5 was seen before, but it ends at event 4/,
      );
      assert.match(ran.stderr, /hint: the server shows a false or an older history/);
    }
  });
});

Deno.test("a journal with another event in the place of one that was seen is named", async () => {
  await withSnapshots(async (vault) => {
    const { server, profile } = vault;
    // The server gives this device's own true statements another order: each signature is right.
    const fork = new FakeServerJournal(server);
    const body = encodeCommit({
      root: new Uint8Array(32),
      setLabel: new Uint8Array(16),
      tagLabels: [],
    });
    const statement = await signByDevice({ ...profile, journal: await fork.stateAt(4) }, {
      kind: EventKind.COMMIT,
      body,
    });
    const forked = fork.append(4, statement);
    server.lies.events = () => forked;
    const same = await vault.run("snapshots");
    assert.equal(same.code, 5);
    assert.match(same.stderr, /event 5 .*two histories/);
    // The same fork, and something after it.
    const longer = fork.append(
      5,
      await signByDevice({ ...profile, journal: await fork.stateOf(forked) }, {
        kind: EventKind.COMMIT,
        body: encodeCommit({
          root: new Uint8Array(32).fill(1),
          setLabel: new Uint8Array(16),
          tagLabels: [],
        }),
      }),
      forked,
    );
    server.lies.events = () => longer;
    const after = await vault.run("snapshots");
    assert.equal(after.code, 5);
    assert.match(after.stderr, /event 6: it does not follow event 5/);
  });
});

Deno.test("forged, altered and left out events are named", async () => {
  await withSnapshots(async (vault) => {
    const { events } = vault.server;
    // A device that has seen nothing yet.
    Deno.removeSync(join(vault.profilePath, "journal.state"));
    const flip = (statement: Uint8Array) =>
      statement.map((byte, i) => i === statement.length - 1 ? byte ^ 1 : byte);
    const cases: [RegExp, Uint8Array[]][] = [
      [/event 4: its signature is wrong/, rechain(events, new Map([[4, flip]]))],
      [
        /event 2: event 2 was seen, but the journal ends at 1/,
        rechain(events.filter((_, i) => i !== 1), new Map()),
      ],
      [
        /event 3: it does not follow event 2/,
        events.map((event, i) =>
          i === 2 ? event.map((byte, j) => j === 20 ? byte ^ 1 : byte) : event
        ),
      ],
      [
        /event 1/,
        events.map((event, i) =>
          i === 0 ? event.map((byte, j) => j === 200 ? byte ^ 1 : byte) : event
        ),
      ],
    ];
    for (const [message, shown] of cases) {
      vault.server.lies.events = () => shown;
      const ran = await vault.run("snapshots");
      assert.equal(ran.code, 5, `${message}: ${ran.stderr}`);
      assert.match(ran.stderr, message);
      assert.equal(ran.stdout, "");
    }
  });
});

Deno.test("another vault's journal, a swapped root and a root of another device are not believed", async () => {
  await withSnapshots(async (vault) => {
    const { server } = vault;
    const ids = [...server.journal.facts.snapshots].map(({ root }) => root.toHex());
    // The server gives the first snapshot's root for the newest.
    server.lies.record = (id, record) =>
      id.toHex() === ids[2] ? server.records.get(ids[0]) : record;
    const swapped = await vault.run("restore", "latest", "--to", join(vault.folder, "out"));
    assert.equal(swapped.code, 5);
    assert.match(swapped.stderr, /these are other bytes/);
    server.lies.record = (_, record) => record;

    await vault.snapshot([dir("/data")], { deviceId: "00".repeat(16) });
    const stolen = await vault.run("ls", "latest");
    assert.equal(stolen.code, 5);
    assert.match(stolen.stderr, /another device than its own/);

    const other = await FakeServer.start(vault.folder);
    try {
      const { VaultFixture } = await import("./vault_fixture.ts");
      const elsewhere = await VaultFixture.create(Deno.makeTempDirSync({ dir: vault.folder }));
      await elsewhere.snapshot([dir("/data"), file("/data/x", "not yours")]);
      server.lies.events = () => elsewhere.server.events;
      Deno.removeSync(join(vault.profilePath, "journal.state"));
      const foreign = await vault.run("snapshots");
      assert.equal(foreign.code, 5);
      assert.match(foreign.stderr, /of another vault|no such/);
      await elsewhere.close();
    } finally {
      await other.stop();
    }
  });
});

Deno.test("a keyring that is not the journal's is found before anything is done with it", async () => {
  await withVault(async (vault) => {
    const { profile } = vault;
    const keyring = structuredClone(profile.keyring);
    keyring.epochs[0].writeSecret[0] ^= 1;
    await writeProfile(profile.folder, { ...profile, keyring });
    const ran = await vault.run("snapshots");
    assert.equal(ran.code, 5);
    assert.match(ran.stderr, /Cannot trust keyring: another write secret in epoch 1/);
  });
});

Deno.test("a read key, a slot or a device that the server has swapped is named at the first command", async () => {
  await withVault(async (vault) => {
    const { server } = vault;
    const rotated = await vault.run("keys", "rotate");
    assert.equal(rotated.code, 0, rotated.stderr);
    const honest = server.events;
    const kinds = honest.map((event) => decodeEvent(event).kind);
    assert.deepEqual(kinds, [1, EventKind.SLOT, EventKind.KEYS, EventKind.SLOT, EventKind.SLOT]);
    // Another byte within the body, and the chain made anew: no signature fits, and no id.
    const flipBody = (statement: Uint8Array) =>
      statement.map((byte, i) => i === statement.length - 80 ? byte ^ 1 : byte);
    for (const number of [1, 3, 4]) {
      Deno.removeSync(join(vault.profilePath, "journal.state"), { recursive: false });
      server.lies.events = () => rechain(honest, new Map([[number, flipBody]]));
      for (const command of ["devices", "snapshots", "journal"]) {
        const ran = await vault.run(command);
        assert.equal(ran.code, 5, ran.stderr);
        assert.match(ran.stderr, number === 1 ? /event 1|another vault/ : eventFault(number));
        assert.equal(ran.stdout, "");
      }
      server.lies.events = (events) => events;
      assert.equal((await vault.run("devices")).code, 0);
    }
  });
});

function eventFault(number: number): RegExp {
  return new RegExp(`event ${number}: its signature is wrong`);
}

Deno.test("recover tells false key material from a wrong code", async () => {
  await withVault(async (vault) => {
    const { server, profile } = vault;
    const code = join(vault.folder, "code");
    Deno.writeTextFileSync(code, formatRecoveryCode(new Uint8Array(32)));
    // An owner that means harm, or whose device is stolen, leaves nonsense for the code.
    const { recovery } = server.journal.facts;
    const sealed = crypto.getRandomValues(new Uint8Array(2000));
    const body = encodeSlot({ recipient: recovery.id, epoch: 1, sealed });
    const { journal } = server;
    server.append(await signByDevice({ ...profile, journal }, { kind: EventKind.SLOT, body }));
    const { hostname, port } = server.place.addresses[0];
    const args = ["recover", `${hostname}:${port}`, "--profile", join(vault.folder, "new")];
    const ran = await runClient([...args, "--code-file", code], { cwd: vault.folder });
    assert.equal(ran.code, 5);
    assert.match(ran.stderr, /Cannot trust server: it offers false key material/);
    Deno.writeTextFileSync(code, formatRecoveryCode(new Uint8Array(32).fill(1)));
    const other = await runClient([...args, "--code-file", code], { cwd: vault.folder });
    assert.equal(other.code, 4);
    assert.match(other.stderr, /no vault at this server has this recovery code/);
  });
});

/** Makes other continuations of a server's journal. */
class FakeServerJournal {
  constructor(readonly server: FakeServer) {}

  async stateAt(number: number) {
    return await this.stateOf(this.server.events.slice(0, number));
  }

  async stateOf(events: Uint8Array[]) {
    const { JournalState } = await import("../../lib/journal_state.ts");
    const state = new JournalState();
    for (const event of events) state.apply(event);
    return state;
  }

  append(after: number, statement: Uint8Array, events = this.server.events): Uint8Array[] {
    const kept = events.slice(0, after);
    const { number, hash, timeMs } = decodeEvent(kept.at(-1)!);
    return [
      ...kept,
      encodeEvent({ number: number + 1, previous: hash, timeMs: timeMs + 1 }, statement),
    ];
  }
}
