import assert from "node:assert/strict";
import { JournalState } from "../lib/journal_state.ts";
import { Role } from "../lib/identity.ts";
import { decryptLoginSecret } from "../lib/login.ts";
import { openName } from "../lib/vault/device_name.ts";
import { deriveInviteKeys, openBundle } from "../lib/vault/invite.ts";
import { openRecoverySlot, openSlot } from "../lib/vault/keyring.ts";
import { importDeviceKey, importReadKey } from "../lib/vault/private_key.ts";
import { deriveRecoveryKey, parseRecoveryCode } from "../lib/vault/recovery.ts";
import { openRoot } from "../lib/vault/root.ts";
import { openRecord } from "../lib/vault/seal.ts";
import { openSession, unmaskKey } from "../lib/vault/session.ts";
import cuts from "./vectors/cuts.json" with { type: "json" };
import derived from "./vectors/derived.json" with { type: "json" };
import drawn from "./vectors/drawn.json" with { type: "json" };
import journal from "./vectors/journal.json" with { type: "json" };
import keys from "./vectors/keys.json" with { type: "json" };
import sealing from "./vectors/sealing.json" with { type: "json" };
import tree from "./vectors/tree.json" with { type: "json" };
import {
  exactVectors,
  exampleRoot,
  INVITE_SECRET,
  LOGIN_SECRET,
  PIN,
  RECOVERY_SECRET,
  SESSION,
  WRITE_SECRET,
} from "./vectors/make.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex);
const device = await importDeviceKey(bytes(keys.device));
const readKey = await importReadKey(bytes(keys.readKey));
const vaultId = bytes(drawn.vaultId);
const made = await exactVectors(keys);

for (const [name, expected] of Object.entries({ cuts, derived, journal, sealing, tree })) {
  Deno.test(`vectors: ${name} come out the same, byte for byte`, () => {
    assert.deepEqual(JSON.parse(JSON.stringify(made[name])), expected);
  });
}

Deno.test("vectors: records open with their masked keys", async () => {
  for (const vector of sealing.records) {
    const { name, record, id, maskedKey } = vector;
    const reference = { id: bytes(id), session: SESSION.id, maskedKey: bytes(maskedKey) };
    const key = unmaskKey({ ...SESSION, key: bytes(sealing.sessionKey) }, reference);
    const content = openRecord(bytes(record), { id: bytes(id), key });
    assert.equal(content.plaintext.toHex(), vector.plaintext, name);
    assert.deepEqual(content.links.map((link) => link.toHex()), vector.links);
  }
});

Deno.test("vectors: what was drawn at random opens", async () => {
  const { session } = drawn;
  const fields = { id: bytes(session.id), vaultId, readKey };
  const { key } = await openSession(bytes(session.record), fields);
  assert.equal(key.toHex(), session.key);
  const root = { id: bytes(drawn.root.id), session: SESSION };
  assert.deepEqual(await openRoot(bytes(drawn.root.record), root), exampleRoot());
  assert.equal(await openName(bytes(drawn.name), [WRITE_SECRET]), "laptop");
  const secret = await decryptLoginSecret(device.rsa, bytes(drawn.loginQuestion));
  assert.deepEqual(secret, LOGIN_SECRET);
});

Deno.test("vectors: slots and bundle open to the same keyring", async () => {
  const recovery = await deriveRecoveryKey(RECOVERY_SECRET);
  assert.deepEqual(parseRecoveryCode(derived.recovery.code), RECOVERY_SECRET);
  const slot = { vaultId, epoch: 1, sealed: bytes(drawn.slot) };
  const recoverySlot = { ...slot, sealed: bytes(drawn.recoverySlot) };
  const epochs = [{ writeSecret: WRITE_SECRET, readKey: bytes(keys.readKey) }];
  const expected = { pin: PIN, keyring: { role: Role.OWNER, epochs } };
  assert.deepEqual(await openSlot(device, slot), expected);
  assert.deepEqual(await openRecoverySlot(recovery, recoverySlot), expected);
  const bundle = await openBundle(await deriveInviteKeys(INVITE_SECRET), bytes(drawn.bundle));
  assert.deepEqual(bundle.keyring, { role: Role.READER, epochs });
});

Deno.test("vectors: the journal replays, and without any of its events it does not", () => {
  const events = journal.events.map(bytes);
  const state = new JournalState();
  for (const event of events) state.apply(event);
  assert.equal(state.newest.hash.toHex(), journal.newest);
  assert.equal(state.facts.vaultId.toHex(), journal.vaultId);
  for (let missing = 0; missing < events.length - 1; missing++) {
    const state = new JournalState();
    assert.throws(() => {
      events.forEach((event, i) => i === missing || state.apply(event));
    }, { fault: "cut" });
  }
});
