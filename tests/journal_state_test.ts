import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { concatBytes } from "../lib/bytes.ts";
import {
  encodeCommit,
  encodeDevice,
  encodeDrill,
  encodeKeys,
  encodePolicy,
  encodeRestore,
  encodeRevoke,
  encodeRoots,
  encodeSlot,
  Restored,
} from "../lib/journal_body.ts";
import {
  decodeEvent,
  encodeEvent,
  EventKind,
  JOURNAL_START,
  JournalError,
  type JournalFault,
  signStatement,
  vaultIdOf,
} from "../lib/journal.ts";
import { JournalState } from "../lib/journal_state.ts";
import { DEVICE_KEYS_BYTES, encodeDeviceKeys, Role } from "../lib/identity.ts";
import {
  DAY_MS,
  foundBody,
  makeCode,
  makeDevice,
  policyOf,
  random,
  START_MS,
  TestVault,
} from "./journal_fixture.ts";

const setLabel = new Uint8Array(16);

function commitBody(): Uint8Array {
  return encodeCommit({ root: random(32), setLabel, tagLabels: [] });
}

/** The event is refused with that fault, and changes nothing. */
function assertFault(vault: TestVault, event: Uint8Array, kind: JournalFault, word = /event \d/) {
  const before = vault.state.encode();
  assert.throws(() => vault.state.check(event), JournalError);
  assert.throws(() => vault.state.apply(event), (error: unknown) => {
    assert.ok(error instanceof JournalError, String(error));
    assert.equal(error.fault, kind, error.message);
    assert.match(error.message, word);
    return true;
  });
  assert.deepEqual(vault.state.encode(), before);
}

function replay(events: Uint8Array[]): JournalState {
  const state = new JournalState();
  for (const event of events) state.apply(event);
  return state;
}

Deno.test("JournalState replays a vault's life, and so does a checkpoint", async () => {
  const vault = await TestVault.create();
  const reader = makeDevice();
  await vault.addDevice(reader, Role.READER);
  const first = await vault.commit();
  const second = await vault.commit(reader);
  await vault.add(vault.owner, EventKind.FORGET, encodeRoots([first]));
  const drill = { root: first, files: 9, bytes: 2 ** 40, compared: 8, differing: 0, damaged: 1 };
  await vault.add(reader, EventKind.DRILL, encodeDrill(drill));
  await vault.add(vault.owner, EventKind.DRILL, encodeDrill(drill));
  await vault.add(reader, EventKind.DRILL, encodeDrill({ ...drill, root: second, damaged: 0 }));
  const drilledMs = vault.nowMs - 1000;
  const readKey = { rsa: random(422), kem: random(1184) };
  const keys = encodeKeys({ epoch: 2, readKey, secretCheck: random(16) });
  await vault.add(vault.owner, EventKind.KEYS, keys);
  for (const recipient of [reader.id, vault.recovery.id]) {
    const slot = encodeSlot({ recipient, epoch: 2, sealed: random(99) });
    await vault.add(vault.owner, EventKind.SLOT, slot);
  }
  await vault.add(vault.owner, EventKind.REVOKE, encodeRevoke(vault.writer.id));
  await vault.add(vault.owner, EventKind.POLICY, encodePolicy(policyOf({ daily: 7 })));

  for (const state of [replay(vault.events), JournalState.decode(vault.state.encode())]) {
    assert.deepEqual(state.newest, vault.state.newest);
    assert.deepEqual(state.facts.vaultId, vault.vaultId);
    assert.deepEqual(
      [...state.facts.devices.values()].map((device) => [device.role, device.revoked]),
      [
        [Role.OWNER, false],
        [Role.WRITER, true],
        [Role.READER, false],
      ],
    );
    assert.equal(state.facts.epochs.length, 2);
    assert.deepEqual(state.facts.epochs[1].readKey.rsa, readKey.rsa);
    assert.deepEqual([...state.facts.slots.keys()], [reader.id.toHex(), vault.recovery.id.toHex()]);
    assert.equal(state.facts.policy.daily, 7);
    assert.ok(state.snapshot(first)!.holdUntilMs > 0);
    assert.equal(state.snapshot(second)!.holdUntilMs, 0);
    assert.equal(state.snapshot(second)!.device, 2);
    // The newest of each device.
    assert.deepEqual([...state.facts.drills], [
      [reader.id.toHex(), { ...drill, root: second, damaged: 0, timeMs: drilledMs }],
      [vault.owner.id.toHex(), { ...drill, timeMs: drilledMs - 1000 }],
    ]);
    assert.deepEqual(state.encode(), vault.state.encode());
  }
});

Deno.test("JournalState rejects every flipped byte of an event", async () => {
  const vault = await TestVault.create();
  const event = vault.place(await vault.statement(vault.writer, EventKind.COMMIT, commitBody()));
  const timeBytes = [1 + 8 + 32, 1 + 8 + 32 + 8]; // only the server says the time
  for (let i = 0; i < event.length; i++) {
    const flipped = event.slice();
    flipped[i] ^= 1;
    if (i >= timeBytes[0] && i < timeBytes[1]) continue;
    assert.throws(() => vault.state.check(flipped), JournalError, `byte ${i}`);
  }
  vault.state.check(event);
});

Deno.test("JournalState rejects every flipped byte of a found event", async () => {
  const vault = await TestVault.create();
  const event = vault.events[0];
  for (let i = 0; i < event.length; i += 7) {
    const flipped = event.slice();
    flipped[i] ^= 0x80;
    if (i >= 41 && i < 49) continue;
    assert.throws(() => new JournalState().apply(flipped), JournalError, `byte ${i}`);
  }
});

Deno.test("a journal that was cut, reordered or replaced is named", async () => {
  const vault = await TestVault.create();
  for (let i = 0; i < 4; i++) await vault.commit();
  const [found, device, one, two, three] = vault.events;
  const client = replay([found, device, one]);
  assert.throws(() => client.apply(three), { fault: "cut", message: /event 4 is missing/ });
  assert.throws(() => client.apply(one), { fault: "cut", message: /event 4 is expected/ });
  client.apply(two);
  client.apply(three);
  assert.throws(() => replay([found, one, device]), { fault: "cut" });

  const shorter = replay([found, device, one]);
  assert.throws(() => shorter.checkPoint(client.newest), { fault: "cut", message: /ends at 3/ });
  client.checkPoint(shorter.newest);
});

Deno.test("an event of another history does not follow", async () => {
  const vault = await TestVault.create();
  const statement = await vault.statement(vault.writer, EventKind.COMMIT, commitBody());
  const { number } = vault.state.newest;
  const other = encodeEvent(
    { number: number + 1, previous: random(32), timeMs: vault.nowMs },
    statement,
  );
  assertFault(vault, other, "chain", /does not follow event 2/);
});

Deno.test("a server that shows two histories is named by what a commit has seen", async () => {
  const vault = await TestVault.create();
  const second = makeDevice();
  await vault.addDevice(second, Role.WRITER);
  // The server hides one commit from the second device, and shows it another one instead.
  const shown = replay(vault.events);
  const twin = { ...vault, state: shown } as TestVault;
  const twinStatement = await vault.statement(vault.writer, EventKind.COMMIT, commitBody());
  shown.apply(TestVault.prototype.place.call(twin, twinStatement));
  await vault.commit(vault.writer);

  const statement = await vault.statement(second, EventKind.COMMIT, commitBody(), shown.newest);
  assertFault(vault, vault.place(statement), "seen", /two histories/);

  const ahead = { number: 99, hash: random(32) };
  const later = await vault.statement(second, EventKind.COMMIT, commitBody(), ahead);
  assertFault(vault, vault.place(later), "cut", /event 99 was seen/);
});

Deno.test("a statement cannot be put into a journal twice", async () => {
  const vault = await TestVault.create();
  const root = await vault.commit();
  const forget = await vault.statement(vault.owner, EventKind.FORGET, encodeRoots([root]));
  vault.apply(forget);
  await vault.add(vault.owner, EventKind.UNFORGET, encodeRoots([root]));
  assertFault(vault, vault.place(forget), "stale", /its own event/);
});

Deno.test("a statement that has seen only what is long past is refused", async () => {
  const vault = await TestVault.create();
  const old = vault.state.newest;
  const early = await vault.statement(
    vault.owner,
    EventKind.POLICY,
    encodePolicy(policyOf({})),
    old,
  );
  for (let i = 0; i < 4096; i++) await vault.commit();
  assertFault(vault, vault.place(early), "stale", /too long ago/);
});

Deno.test("roles: what each kind of event needs", async () => {
  const vault = await TestVault.create();
  const reader = makeDevice();
  await vault.addDevice(reader, Role.READER);
  const root = await vault.commit();
  const ownerOnly: [EventKind, Uint8Array][] = [
    [
      EventKind.DEVICE,
      encodeDevice({ role: Role.OWNER, keys: makeDevice().keys, sealedName: setLabel }),
    ],
    [EventKind.REVOKE, encodeRevoke(vault.owner.id)],
    [
      EventKind.KEYS,
      encodeKeys({
        epoch: 2,
        readKey: { rsa: random(422), kem: random(1184) },
        secretCheck: random(16),
      }),
    ],
    [EventKind.SLOT, encodeSlot({ recipient: reader.id, epoch: 1, sealed: random(9) })],
    [EventKind.FORGET, encodeRoots([root])],
    [EventKind.UNFORGET, encodeRoots([root])],
    [EventKind.POLICY, encodePolicy(policyOf({ last: 1 }))],
    [
      EventKind.RECOVERY,
      await vault.codeBody(vault.owner, makeCode()),
    ],
  ];
  for (const [kind, body] of ownerOnly) {
    for (const signer of [vault.writer, reader]) {
      assertFault(vault, vault.place(await vault.statement(signer, kind, body)), "refused");
    }
    const byRecovery = vault.place(await vault.statement(vault.recovery, kind, body));
    if (kind === EventKind.DEVICE || kind === EventKind.SLOT) vault.state.check(byRecovery);
    else assertFault(vault, byRecovery, "refused");
  }
  const commit = await vault.statement(vault.recovery, EventKind.COMMIT, commitBody());
  assertFault(vault, vault.place(commit), "refused");
  const counts = { files: 1, bytes: 1, compared: 0, differing: 0, damaged: 0 };
  const drill = encodeDrill({ root, ...counts });
  for (const signer of [vault.writer, vault.recovery]) {
    const byOther = vault.place(await vault.statement(signer, EventKind.DRILL, drill));
    assertFault(vault, byOther, "refused", /only a reader or an owner/);
  }
  for (const signer of [reader, vault.owner]) {
    vault.state.check(vault.place(await vault.statement(signer, EventKind.DRILL, drill)));
  }
  const ofNothing = encodeDrill({ root: random(32), ...counts });
  const unknown = await vault.statement(reader, EventKind.DRILL, ofNothing);
  assertFault(vault, vault.place(unknown), "impossible", /no such snapshot/);
  const stranger = await vault.statement(makeDevice(), EventKind.COMMIT, commitBody());
  assertFault(vault, vault.place(stranger), "refused", /nobody knows/);
});

Deno.test("a device's role is its own: another key's signature is wrong", async () => {
  const vault = await TestVault.create();
  const forger = { ...vault.writer, id: vault.owner.id };
  const policy = encodePolicy(policyOf({ last: 1 }));
  const event = vault.place(await vault.statement(forger, EventKind.POLICY, policy));
  assertFault(vault, event, "signature");
});

Deno.test("a revoked device signs nothing more and is never added again", async () => {
  const vault = await TestVault.create();
  const early = await vault.statement(vault.writer, EventKind.COMMIT, commitBody());
  await vault.add(vault.owner, EventKind.REVOKE, encodeRevoke(vault.writer.id));
  assertFault(vault, vault.place(early), "refused", /revoked/);
  const again = encodeDevice({
    role: Role.WRITER,
    keys: vault.writer.keys,
    sealedName: new Uint8Array(0),
  });
  const event = vault.place(await vault.statement(vault.owner, EventKind.DEVICE, again));
  assertFault(vault, event, "impossible", /added before/);
});

Deno.test("a device may revoke itself, but the last owner may not go", async () => {
  const vault = await TestVault.create();
  const last = encodeRevoke(vault.owner.id);
  assertFault(
    vault,
    vault.place(await vault.statement(vault.owner, EventKind.REVOKE, last)),
    "impossible",
    /last owner/,
  );
  await vault.add(vault.writer, EventKind.REVOKE, encodeRevoke(vault.writer.id));
  assert.ok(vault.state.device(vault.writer.id)!.revoked);
});

Deno.test("an invite adds one device, with its role, until it expires", async () => {
  const vault = await TestVault.create();
  const { grant, signer } = vault.invite(Role.WRITER, vault.nowMs + DAY_MS);
  const joining = makeDevice();
  const fields = { keys: joining.keys, sealedName: random(20), grant };
  const promoted = encodeDevice({ ...fields, role: Role.OWNER });
  assertFault(
    vault,
    vault.place(await vault.statement(signer, EventKind.DEVICE, promoted)),
    "signature",
    /invite/,
  );
  const body = encodeDevice({ ...fields, role: Role.WRITER });
  const byOther = await vault.statement({ ...makeDevice(), id: signer.id }, EventKind.DEVICE, body);
  assertFault(vault, vault.place(byOther), "signature");

  const statement = await vault.statement(signer, EventKind.DEVICE, body);
  const late = encodeEvent({
    number: vault.state.newest.number + 1,
    previous: vault.state.newest.hash,
    timeMs: grant.expiresMs + 1,
  }, statement);
  assertFault(vault, late, "refused", /expired/);

  vault.apply(statement);
  await vault.commit(joining);
  const second = encodeDevice({ ...fields, keys: makeDevice().keys, role: Role.WRITER });
  assertFault(
    vault,
    vault.place(await vault.statement(signer, EventKind.DEVICE, second)),
    "refused",
    /used before/,
  );
});

Deno.test("an invite of a device that is no owner, or no longer, is worth nothing", async () => {
  const vault = await TestVault.create();
  const secondOwner = makeDevice();
  await vault.addDevice(secondOwner, Role.OWNER);
  const { grant, signer } = vault.invite(Role.WRITER, vault.nowMs + DAY_MS);
  const fields = { keys: makeDevice().keys, sealedName: random(20), role: Role.WRITER };
  const forged = encodeDevice({ ...fields, grant: { ...grant, owner: vault.writer.id } });
  assertFault(
    vault,
    vault.place(await vault.statement(signer, EventKind.DEVICE, forged)),
    "refused",
    /not from an owner/,
  );
  await vault.add(secondOwner, EventKind.REVOKE, encodeRevoke(vault.owner.id));
  const body = encodeDevice({ ...fields, grant });
  assertFault(
    vault,
    vault.place(await vault.statement(signer, EventKind.DEVICE, body)),
    "refused",
    /not from an owner/,
  );
});

Deno.test("recovery enrols an owner; a new recovery code ends the old one", async () => {
  const vault = await TestVault.create();
  const saved = makeDevice();
  await vault.addDevice(saved, Role.OWNER, vault.recovery);
  await vault.add(saved, EventKind.RECOVERY, await vault.codeBody(saved, makeCode()));
  const body = encodeDevice({ role: Role.OWNER, keys: makeDevice().keys, sealedName: random(3) });
  const event = vault.place(await vault.statement(vault.recovery, EventKind.DEVICE, body));
  assertFault(vault, event, "refused", /nobody knows/);
});

Deno.test("who knows only a code's public keys founds no vault with it", async () => {
  const victim = await TestVault.create();
  const thief = makeDevice();
  const found = async (body: Uint8Array) => {
    const fields = { kind: EventKind.FOUND, signer: thief.id, seen: JOURNAL_START, body };
    const keys = { vaultId: vaultIdOf(body), sign: thief.sign };
    const statement = await signStatement(fields, keys);
    const place = { number: 1, previous: JOURNAL_START.hash, timeMs: START_MS };
    return new JournalState().check(encodeEvent(place, statement));
  };
  const refused = { name: "JournalError", fault: "code" };
  await assert.rejects(found(await foundBody(thief, victim.recovery, thief.sign)), refused);
  // The real founding with another owner, and its proof as it was.
  const real = decodeEvent(victim.events[0]).body;
  const body = concatBytes(encodeDeviceKeys(thief.keys), real.subarray(DEVICE_KEYS_BYTES));
  await assert.rejects(found(body), refused);
  await found(await foundBody(thief, victim.recovery)); // with the code itself
});

Deno.test("a code's proof counts in its vault, at its place, and for its owner only", async () => {
  const vault = await TestVault.create();
  const thief = makeDevice();
  await vault.addDevice(thief, Role.OWNER);
  const code = makeCode();
  const body = await vault.codeBody(vault.owner, code);
  const byThief = await vault.statement(thief, EventKind.RECOVERY, body);
  assertFault(vault, vault.place(byThief), "code");
  const other = await TestVault.create();
  const elsewhere = await other.codeBody(other.owner, code, vault.vaultId);
  const inOther = await other.statement(other.owner, EventKind.RECOVERY, elsewhere);
  assertFault(other, other.place(inOther), "code");
  const here = await vault.statement(vault.owner, EventKind.RECOVERY, body);
  vault.state.check(vault.place(here));
  await vault.commit();
  const later = await vault.statement(vault.owner, EventKind.RECOVERY, body);
  assertFault(vault, vault.place(later), "code");
});

Deno.test("a drop must follow from a forget whose hold has passed", async () => {
  const vault = await TestVault.create();
  const [root, other] = [await vault.commit(), await vault.commit()];
  const drop = vault.dropStatement(encodeRoots([root]));
  assertFault(vault, vault.place(drop), "refused", /gives up/);
  await vault.add(vault.owner, EventKind.FORGET, encodeRoots([root]));
  const { holdUntilMs } = vault.state.snapshot(root)!;
  vault.nowMs = holdUntilMs - 1;
  assertFault(vault, vault.place(drop), "refused", /gives up/);
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], []);
  vault.nowMs = holdUntilMs;
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], [root]);
  assertFault(vault, vault.place(vault.dropStatement(encodeRoots([root, other]))), "refused");
  vault.apply(drop);
  assert.equal(vault.state.snapshot(root), undefined);
  assertFault(vault, vault.place(drop), "impossible", /no such snapshot/);
});

Deno.test("a drop by the policy waits for the hold after snapshot and policy", async () => {
  const vault = await TestVault.create();
  const holdMs = 2 * DAY_MS;
  await vault.add(vault.owner, EventKind.POLICY, encodePolicy(policyOf({ daily: 1, holdMs })));
  vault.nowMs += 31 * DAY_MS; // the shorter hold works only once the longer one has passed
  const [old, kept] = [await vault.commit(), await vault.commit()];
  const elsewhere = await vault.commit(vault.writer, random(16));
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], []);
  vault.nowMs += holdMs;
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], [old]);
  for (const root of [kept, elsewhere]) {
    assertFault(vault, vault.place(vault.dropStatement(encodeRoots([root]))), "refused");
  }
  vault.apply(vault.dropStatement(encodeRoots([old])));
});

Deno.test("a flood of commits by a stolen writer drops nothing of days that are over", async () => {
  const vault = await TestVault.create();
  const policy = policyOf({ last: 2, daily: 3, holdMs: DAY_MS });
  await vault.add(vault.owner, EventKind.POLICY, encodePolicy(policy));
  vault.nowMs += 31 * DAY_MS;
  const good: Uint8Array[] = [];
  for (let day = 0; day < 2; day++) {
    good.push(await vault.commit());
    vault.nowMs += DAY_MS;
  }
  for (let i = 0; i < 50; i++) await vault.commit();
  vault.nowMs += 2 * DAY_MS;
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], []);
  for (const root of good) {
    assertFault(vault, vault.place(vault.dropStatement(encodeRoots([root]))), "refused");
  }
});

Deno.test("a new policy drops nothing before it has been in force for a hold", async () => {
  const vault = await TestVault.create();
  const [old, _kept] = [await vault.commit(), await vault.commit()];
  vault.nowMs += 100 * DAY_MS;
  await vault.add(vault.owner, EventKind.POLICY, encodePolicy(policyOf({ daily: 1 })));
  const { policySinceMs } = vault.state.facts;
  vault.nowMs = policySinceMs + 30 * DAY_MS - 1;
  assertFault(vault, vault.place(vault.dropStatement(encodeRoots([old]))), "refused");
  vault.nowMs = policySinceMs + 30 * DAY_MS;
  assert.deepEqual([...vault.state.droppable(vault.nowMs)], [old]);
});

Deno.test("a policy that shortens the hold does not shorten it at once", async () => {
  const vault = await TestVault.create();
  const root = await vault.commit();
  const short = encodePolicy(policyOf({ holdMs: DAY_MS }));
  await vault.add(vault.owner, EventKind.POLICY, short);
  await vault.add(vault.owner, EventKind.POLICY, short);
  await vault.add(vault.owner, EventKind.FORGET, encodeRoots([root]));
  assert.ok(vault.state.snapshot(root)!.holdUntilMs >= vault.nowMs - 1000 + 7 * DAY_MS);
});

Deno.test("times never go back and a vault is founded once", async () => {
  const vault = await TestVault.create();
  const statement = await vault.statement(vault.writer, EventKind.COMMIT, commitBody());
  vault.nowMs = vault.state.facts.timeMs - 1;
  assertFault(vault, vault.place(statement), "impossible", /time/);
  vault.nowMs += 1;
  const found = await foundBody(vault.owner, makeCode());
  const again = vault.place(await vault.statement(vault.owner, EventKind.FOUND, found));
  assertFault(vault, again, "impossible", /there already/);
  assert.throws(() => new JournalState().apply(vault.events[1]), { fault: "cut" });
});

Deno.test("JournalState.decode() rejects a damaged checkpoint", async () => {
  const vault = await TestVault.create();
  const checkpoint = vault.state.encode();
  for (let i = 0; i < checkpoint.length; i += 97) {
    const flipped = checkpoint.slice();
    flipped[i] ^= 1;
    assert.throws(() => JournalState.decode(flipped), /Cannot decode checkpoint/);
  }
});

Deno.test("JournalState.decode() takes a checkpoint from before there were drills", async () => {
  const vault = await TestVault.create();
  await vault.commit();
  // As version 2 had it: another number in front, and nothing behind the snapshots.
  const now = vault.state.encode();
  const former = now.slice(0, -32 - 4).with(0, 2);
  const hash = createHash("sha256").update(former).digest();
  const state = JournalState.decode(concatBytes(former, hash));
  assert.deepEqual(state.encode(), now);
  const unknown = now.slice(0, -32).with(0, 4);
  const unknownHash = createHash("sha256").update(unknown).digest();
  assert.throws(() => JournalState.decode(concatBytes(unknown, unknownHash)), /checkpoint/);
});

Deno.test("what an owner took away is brought back within the hold, by the server and nobody else", async () => {
  const vault = await TestVault.create();
  const thief = makeDevice();
  await vault.addDevice(thief, Role.OWNER);
  await vault.add(thief, EventKind.REVOKE, encodeRevoke(vault.owner.id));
  const body = encodeRestore({ what: Restored.DEVICE, id: vault.owner.id, number: 0 });
  const signed = await vault.statement(thief, EventKind.RESTORE, body);
  assertFault(vault, vault.place(signed), "malformed", /the server signs nothing/);
  const unknown = encodeRestore({ what: Restored.DEVICE, id: random(16), number: 0 });
  assertFault(vault, vault.place(vault.serverStatement(unknown)), "impossible", /no such revoked/);
  const inForce = encodeRestore({ what: Restored.DEVICE, id: thief.id, number: 0 });
  assertFault(vault, vault.place(vault.serverStatement(inForce)), "impossible", /no such revoked/);
  const late = vault.nowMs + 30 * DAY_MS;
  const now = vault.nowMs;
  vault.nowMs = late;
  assertFault(vault, vault.place(vault.serverStatement(body)), "refused", /its hold is over/);
  vault.nowMs = now;
  vault.apply(vault.serverStatement(body));
  const owner = vault.state.device(vault.owner.id)!;
  assert.ok(!owner.revoked && owner.isRestored);
  // What it begins, and whom it lets in, is marked; the mark ends with keys from another owner.
  const friend = makeDevice();
  await vault.addDevice(friend, Role.OWNER, vault.owner);
  assert.ok(vault.state.device(friend.id)!.isRestored);
  const readKey = { rsa: random(422), kem: random(1184) };
  const keys = encodeKeys({ epoch: 2, readKey, secretCheck: random(16) });
  await vault.add(friend, EventKind.KEYS, keys);
  assert.ok(vault.state.facts.epochs[1].isRestored);
  const slot = encodeSlot({ recipient: friend.id, epoch: 2, sealed: random(100) });
  await vault.add(vault.owner, EventKind.SLOT, slot);
  assert.ok(vault.state.device(friend.id)!.isRestored);
  await vault.add(thief, EventKind.SLOT, slot);
  assert.ok(!vault.state.device(friend.id)!.isRestored);
  const again = JournalState.decode(vault.state.encode());
  assert.deepEqual(again.encode(), vault.state.encode());
});

Deno.test("replaced slots and recovery codes are held with what belongs to them", async () => {
  const vault = await TestVault.create();
  const { recovery } = vault;
  const slotFor = (id: Uint8Array) => encodeSlot({ recipient: id, epoch: 1, sealed: random(99) });
  await vault.add(vault.owner, EventKind.SLOT, slotFor(recovery.id));
  const right = vault.state.newest.number;
  // However often it is replaced, the first one stays.
  for (let i = 0; i < 40; i++) {
    await vault.add(vault.owner, EventKind.SLOT, slotFor(recovery.id));
  }
  assert.equal(vault.state.facts.formerSlots.length, 16);
  const back = encodeRestore({ what: Restored.SLOT, id: recovery.id, number: right });
  vault.apply(vault.serverStatement(back));
  assert.equal(vault.state.facts.slots.get(recovery.id.toHex())!.event.number, right);
  const code = await vault.codeBody(vault.owner, makeCode());
  await vault.add(vault.owner, EventKind.RECOVERY, code);
  assert.notDeepEqual(vault.state.facts.recovery.id, recovery.id);
  vault.apply(vault.serverStatement(
    encodeRestore({ what: Restored.RECOVERY, id: recovery.id, number: 0 }),
  ));
  assert.deepEqual(vault.state.facts.recovery.id, recovery.id);
  assert.equal(vault.state.facts.slots.get(recovery.id.toHex())!.event.number, right);
  assert.equal(vault.state.facts.formerRecovery.length, 1);
});

Deno.test("a commit that has not seen the newest keys is stale", async () => {
  const vault = await TestVault.create();
  const before = vault.state.newest;
  const readKey = { rsa: random(422), kem: random(1184) };
  const keys = encodeKeys({ epoch: 2, readKey, secretCheck: random(16) });
  await vault.add(vault.owner, EventKind.KEYS, keys);
  const body = encodeCommit({ root: random(32), setLabel: random(16), tagLabels: [] });
  const old = await vault.statement(vault.writer, EventKind.COMMIT, body, before);
  assertFault(vault, vault.place(old), "stale", /had not seen the keys of epoch 2/);
  await vault.add(vault.writer, EventKind.COMMIT, body);
});
