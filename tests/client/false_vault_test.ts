/**
 * An operator who knows the public half of a victim's recovery code, as it stands in the journal, and makes a vault of
 * his own that `client recover` might take for the victim's: everything that the victim backed up from then on would be
 * sealed to him.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { concatBytes } from "../../lib/bytes.ts";
import { DEVICE_KEYS_BYTES, encodeDeviceKeys, recoveryId, Role } from "../../lib/identity.ts";
import {
  decodeFound,
  encodeFoundFields,
  encodeRecoveryFields,
  encodeSlot,
  type FoundBody,
} from "../../lib/journal_body.ts";
import { encodeCheckpoint } from "../../lib/journal_checkpoint.ts";
import { proveCode } from "../../lib/journal_code.ts";
import {
  decodeEvent,
  encodeEvent,
  eventHash,
  EventKind,
  JOURNAL_START,
  type JournalPoint,
  signStatement,
  vaultIdOf,
} from "../../lib/journal.ts";
import { JournalState } from "../../lib/journal_state.ts";
import { sealName } from "../../lib/vault/device_name.ts";
import { type Keyring, sealRecoverySlot } from "../../lib/vault/keyring.ts";
import {
  type DevicePrivateKey,
  generateReadKey,
  importDeviceKey,
  importReadKey,
} from "../../lib/vault/private_key.ts";
import {
  deriveRecoveryKey,
  formatRecoveryCode,
  type RecoveryPrivateKey,
} from "../../lib/vault/recovery.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import keys from "../vectors/keys.json" with { type: "json" };
import { FakeServer } from "./fake_server.ts";
import { type Ran, runClient } from "./run_client.ts";
import { RequestCode } from "../../lib/protocol_v4.ts";
import { type VaultFixture, withVault } from "./vault_fixture.ts";

/** The secret of `vault_fixture.ts`. */
const SECRET = new Uint8Array(32);
const NOT_MADE = /it shows a vault that was not made with this recovery code \(.* event \d:/;

/** A server that checks nothing of what it has made up itself. */
class EvilOperator {
  readonly device: DevicePrivateKey;
  readonly server: FakeServer;
  readonly victim: VaultFixture;

  private constructor(device: DevicePrivateKey, server: FakeServer, victim: VaultFixture) {
    this.device = device;
    this.server = server;
    this.victim = victim;
  }

  static async start(victim: VaultFixture): Promise<EvilOperator> {
    const device = await importDeviceKey(Uint8Array.fromHex(keys.device));
    return new EvilOperator(device, await FakeServer.start(victim.folder), victim);
  }

  /** Shows a first event with this body, and goes on from there as if it were right. */
  async found(body: Uint8Array, facts: Omit<FoundBody, "codeProof">): Promise<void> {
    const { device, server } = this;
    const fields = { kind: EventKind.FOUND, signer: device.id, seen: JOURNAL_START, body };
    const vaultId = vaultIdOf(body);
    const statement = await signStatement(fields, { vaultId, sign: device.sign });
    server.events = [place(statement, JOURNAL_START)];
    // What a reader would make of it that did not ask for the code's proof.
    const honest = await honestState(device, facts);
    server.journal = believing(honest, server.events, { vaultId, code: facts.recovery });
  }

  async append(kind: EventKind, body: Uint8Array): Promise<void> {
    const { device, server } = this;
    const { vaultId } = server.journal.facts;
    const fields = { kind, signer: device.id, seen: server.journal.newest, body };
    server.append(await signStatement(fields, { vaultId, sign: device.sign }));
  }

  /** Leaves a keyring of his own for the code, with the pin of his own server. */
  async leaveKeys(keyring: Keyring): Promise<void> {
    const { vaultId, recovery } = this.server.journal.facts;
    const content = { pin: this.server.place.pin, keyring };
    const sealed = await sealRecoverySlot(content, { vaultId, publicKeys: recovery.keys });
    await this.append(EventKind.SLOT, encodeSlot({ recipient: recovery.id, epoch: 1, sealed }));
  }

  async recover(): Promise<Ran> {
    const { folder } = this.victim;
    const code = join(folder, "code");
    Deno.writeTextFileSync(code, formatRecoveryCode(SECRET));
    const { hostname, port } = this.server.place.addresses[0];
    const profile = ["--profile", join(folder, "recovered")];
    const args = ["recover", `${hostname}:${port}`, "--code-file", code, ...profile];
    return await runClient(args, { cwd: folder });
  }
}

Deno.test("recover refuses a vault that the operator founded with the code's public keys", async () => {
  await withEvil(async (evil) => {
    const { fields, keyring } = await ownVault(evil.device, evil.victim);
    const unproven = {
      ...{ kind: EventKind.FOUND, signer: evil.device.id, seen: JOURNAL_START },
      body: encodeFoundFields(fields),
    };
    await evil.found(await proveCode(unproven, { sign: evil.device.sign }), fields);
    await evil.leaveKeys(keyring);
    assertRefused(await evil.recover());
  });
});

Deno.test("recover refuses the victim's founding with another first owner", async () => {
  await withEvil(async (evil) => {
    const { fields, keyring } = await ownVault(evil.device, evil.victim);
    const real = decodeEvent(evil.victim.server.events[0]).body;
    const body = concatBytes(
      encodeDeviceKeys(evil.device.publicKey),
      real.subarray(DEVICE_KEYS_BYTES),
    );
    await evil.found(body, { ...decodeFound(real), owner: fields.owner });
    await evil.leaveKeys(keyring);
    assertRefused(await evil.recover());
  });
});

Deno.test("recover refuses a vault whose own code the operator replaced by the victim's", async () => {
  await withEvil(async (evil) => {
    const { fields, keyring } = await ownVault(evil.device, evil.victim);
    const own = await deriveRecoveryKey(new Uint8Array(32).fill(9));
    const found = {
      ...{ kind: EventKind.FOUND, signer: evil.device.id, seen: JOURNAL_START },
      body: encodeFoundFields({ ...fields, recovery: own.publicKeys }),
    };
    const body = await proveCode(found, { sign: own.sign });
    await evil.found(body, { ...fields, recovery: own.publicKeys });
    const { vaultId, newest } = evil.server.journal.facts;
    const change = {
      ...{ kind: EventKind.RECOVERY, signer: evil.device.id, seen: newest },
      body: encodeRecoveryFields({ keys: fields.recovery }),
    };
    const replaced = await proveCode(change, { vaultId, sign: evil.device.sign });
    const keysOfEvil = { vaultId, sign: evil.device.sign };
    const statement = await signStatement({ ...change, body: replaced }, keysOfEvil);
    evil.server.events.push(place(statement, newest));
    const { events, journal } = evil.server;
    evil.server.journal = believing(journal, events, { vaultId, code: fields.recovery });
    await evil.leaveKeys(keyring);
    assertRefused(await evil.recover());
  });
});

Deno.test("recover refuses keys that are not from an owner of the founding", async () => {
  await withEvil(async (evil) => {
    const { keyring } = await ownVault(evil.device, evil.victim);
    const { server } = evil.victim;
    const { vaultId, recovery } = server.journal.facts;
    const content = { pin: evil.server.place.pin, keyring };
    const sealed = await sealRecoverySlot(content, { vaultId, publicKeys: recovery.keys });
    const body = encodeSlot({ recipient: recovery.id, epoch: 1, sealed });
    const seen = server.journal.newest;
    const fields = { kind: EventKind.SLOT, signer: evil.device.id, seen, body };
    const slot = place(await signStatement(fields, { vaultId, sign: evil.device.sign }), seen);
    evil.server.journal = server.journal;
    evil.server.events = [...server.events, slot];
    const ran = await evil.recover();
    assert.equal(ran.code, 5, ran.stderr);
    assert.match(ran.stderr, /event 3: nobody knows its signer/);
  });
});

Deno.test("recover refuses a server that shows an older history once the code is proven", async () => {
  await withVault(async (vault) => {
    const { server, folder } = vault;
    server.lies.events = (events) => {
      const hellos = server.counts.get(RequestCode.HELLO) ?? 0;
      return hellos > before + 1 ? events.slice(0, -1) : events;
    };
    const before = server.counts.get(RequestCode.HELLO) ?? 0;
    const code = join(folder, "code");
    Deno.writeTextFileSync(code, formatRecoveryCode(SECRET));
    const { hostname, port } = server.place.addresses[0];
    const profile = ["--profile", join(folder, "recovered")];
    const args = ["recover", `${hostname}:${port}`, "--code-file", code, ...profile];
    const ran = await runClient(args, { cwd: folder });
    assert.equal(ran.code, 5, ran.stderr);
    assert.match(ran.stderr, /Cannot trust journal: event 3 was seen, but the journal ends at 2/);
    server.lies.events = (events) => events;
    const again = await runClient(args, { cwd: folder }); // goes on where it was stopped
    assert.equal(again.code, 0, again.stderr);
    assert.equal(server.events.length, 3);
  });
});

function assertRefused({ code, stdout, stderr }: Ran): void {
  assert.equal(code, 5, `${stdout}${stderr}`);
  assert.match(stderr, NOT_MADE);
  assert.doesNotMatch(stderr, /now an owner/);
}

/** A founding by the operator, as an owner, for the victim's code; and a keyring that he knows. */
async function ownVault(
  device: DevicePrivateKey,
  victim: VaultFixture,
): Promise<{ fields: Omit<FoundBody, "codeProof">; keyring: Keyring }> {
  const writeSecret = crypto.getRandomValues(new Uint8Array(32));
  const readKey = await generateReadKey();
  const fields = {
    owner: device.publicKey,
    recovery: victim.server.journal.facts.recovery.keys,
    readKey: (await importReadKey(readKey)).publicKey,
    secretCheck: deriveWriteKeys(writeSecret).secretCheck,
    sealedName: await sealName("trap", { writeSecret, epoch: 1 }),
  };
  return { fields, keyring: { role: Role.OWNER, epochs: [{ writeSecret, readKey }] } };
}

/** The state of a vault of these facts, but with a code of the operator's own, who can prove it. */
async function honestState(
  device: DevicePrivateKey,
  facts: Omit<FoundBody, "codeProof">,
): Promise<JournalState> {
  const code = await deriveRecoveryKey(new Uint8Array(32).fill(8));
  const unproven = {
    ...{ kind: EventKind.FOUND, signer: device.id, seen: JOURNAL_START },
    body: encodeFoundFields({ ...facts, recovery: code.publicKeys }),
  };
  const body = await proveCode(unproven, { sign: code.sign });
  const vaultId = vaultIdOf(body);
  const statement = await signStatement({ ...unproven, body }, { vaultId, sign: device.sign });
  const state = new JournalState();
  state.apply(place(statement, JOURNAL_START));
  return state;
}

/** The same state, had it come from these events. */
function believing(
  state: JournalState,
  events: Uint8Array[],
  { vaultId, code }: { vaultId: Uint8Array; code: RecoveryPrivateKey["publicKeys"] },
): JournalState {
  const { facts } = JournalState.decode(state.encode());
  const newest = { number: events.length, hash: eventHash(events.at(-1)!) };
  facts.seenHashes.set(newest);
  const recovery = { ...facts.recovery, keys: code, id: recoveryId(code) };
  return JournalState.decode(encodeCheckpoint({ ...facts, vaultId, newest, recovery }));
}

function place(statement: Uint8Array, after: JournalPoint): Uint8Array {
  const fields = { number: after.number + 1, previous: after.hash, timeMs: Date.now() };
  return encodeEvent(fields, statement);
}

async function withEvil(test: (evil: EvilOperator) => Promise<void>): Promise<void> {
  await withVault(async (victim) => {
    const evil = await EvilOperator.start(victim);
    try {
      await test(evil);
    } finally {
      await evil.server.stop();
    }
  });
}
