import assert from "node:assert/strict";
import { EventKind, JOURNAL_START, signStatement, vaultIdOf } from "../../lib/journal.ts";
import { decodeFound, encodeDevice, encodeFoundFields } from "../../lib/journal_body.ts";
import { proveCode } from "../../lib/journal_code.ts";
import * as v4 from "../../lib/protocol_v4.ts";
import { AnswerCode, RequestCode } from "../../lib/protocol_v4.ts";
import * as login from "../../lib/protocol_v4_login.ts";
import { tokenHash } from "../../lib/server/enrolment.ts";
import { deriveInviteKeys, grantInvite } from "../../lib/vault/invite.ts";
import { inviteId } from "../../lib/identity.ts";
import {
  deviceA,
  deviceB,
  foundBody,
  random,
  refusalOf,
  type TestMember,
  type TestServer,
  withServer,
} from "./fixture.ts";

Deno.test("FOUND begins a vault once, and answers a repetition alike", async () => {
  await withServer(async (server) => {
    const client = await server.connect();
    const found = (token: Uint8Array, statement: Uint8Array) =>
      client.request(RequestCode.FOUND, login.encodeEnrolment({ token, statement }));
    const vault = await foundBody(deviceA);
    const statement = await vault.sign(deviceA, EventKind.FOUND, vault.body, JOURNAL_START);
    assert.equal(refusalOf(await found(random(32), statement)), "BAD_INVITE");
    const token = await server.invite();
    const first = await found(token, statement);
    assert.equal(first.code, AnswerCode.APPENDED);
    server.clock.shiftMs += 3_600_000; // the invite has expired since
    assert.deepEqual(await found(token, statement), first);
    const other = await foundBody(deviceB);
    const otherStatement = await other.sign(deviceB, EventKind.FOUND, other.body, JOURNAL_START);
    assert.equal(refusalOf(await found(token, otherStatement)), "BAD_INVITE");
    const late = await server.invite();
    server.clock.shiftMs += 3_600_000;
    assert.equal(refusalOf(await found(late, otherStatement)), "BAD_INVITE");
  });
});

Deno.test("FOUND refuses what founds no vault, and a recovery code that is taken", async () => {
  await withServer(async (server) => {
    const client = await server.connect();
    const found = async (statement: Uint8Array) => {
      const token = await server.invite();
      const payload = login.encodeEnrolment({ token, statement });
      return refusalOf(await client.request(RequestCode.FOUND, payload));
    };
    const vault = await foundBody(deviceA);
    const forged = await vault.sign(
      { id: deviceA.id, sign: deviceB.sign },
      EventKind.FOUND,
      vault.body,
      JOURNAL_START,
    );
    assert.equal(await found(forged), "BAD_EVENT");
    assert.equal(await found(random(200)), "BAD_EVENT");
    const { vault: taken } = await server.found(deviceA);
    // Another vault with the code of this one, whose locator is taken; and with a code that has not agreed.
    const founding = { kind: EventKind.FOUND, signer: deviceA.id, seen: JOURNAL_START };
    const strange = await foundBody(deviceB);
    for (const [code, { sign }] of [[taken, taken.recovery], [strange, deviceA]] as const) {
      const { recovery } = decodeFound(code.body);
      const changed = { recovery, secretCheck: random(16) };
      const fields = encodeFoundFields({ ...decodeFound(taken.body), ...changed });
      const body = await proveCode({ ...founding, body: fields }, { sign });
      const keys = { vaultId: vaultIdOf(body), sign: deviceA.sign };
      assert.equal(await found(await signStatement({ ...founding, body }, keys)), "BAD_EVENT");
    }
  });
});

Deno.test("JOIN adds the device that an owner has invited, once", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    const { token, statement, bundle } = await inviteDevice(owner, server);
    const client = await server.connect();
    const fetched = await client.request(RequestCode.FETCH_INVITE, login.encodeToken(token));
    assert.deepEqual(login.decodeBundle(fetched.payload), bundle);
    const join = login.encodeEnrolment({ token, statement });
    const joined = await client.request(RequestCode.JOIN, join);
    assert.equal(joined.code, AnswerCode.APPENDED);
    assert.deepEqual(await client.request(RequestCode.JOIN, join), joined);
    const gone = await client.request(RequestCode.FETCH_INVITE, login.encodeToken(token));
    assert.equal(refusalOf(gone), "BAD_INVITE");
    const other = login.encodeEnrolment({ token, statement: random(300) });
    assert.equal(refusalOf(await client.request(RequestCode.JOIN, other)), "BAD_INVITE");
    assert.equal((await client.login(deviceB, owner.vault.id)).role, 2);
  });
});

Deno.test("JOIN after a crash between journal and index answers as it would have", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    const { token, statement } = await inviteDevice(owner, server);
    const join = login.encodeEnrolment({ token, statement });
    const first = await (await server.connect()).request(RequestCode.JOIN, join);
    // The event is durable, its row and the use of the invite are not.
    await server.restart(() => {
      const db = server.reopen();
      db.sql.run("DELETE FROM events WHERE number = 2");
      db.sql.run("UPDATE vaults SET checkpoint = NULL");
      db.sql.run("UPDATE invites SET used_by = NULL, used_for = NULL");
      db.close();
    });
    assert.deepEqual(await (await server.connect()).request(RequestCode.JOIN, join), first);
    const invite = await server.vaults.findInvite(tokenHash(token));
    assert.ok(invite?.used);
  });
});

Deno.test("INVITE is kept once, within bounds, and expires", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    const now = server.clock.wall();
    const invite = { tokenHash: random(32), expiresMs: now + 60_000, bundle: random(500) };
    const upload = (changes: Partial<v4.InviteUpload>) =>
      owner.client.request(RequestCode.INVITE, v4.encodeInviteUpload({ ...invite, ...changes }));
    assert.equal((await upload({})).code, AnswerCode.DONE);
    assert.equal((await upload({})).code, AnswerCode.DONE);
    assert.equal(refusalOf(await upload({ bundle: random(9) })), "BAD_INVITE");
    const past = { tokenHash: random(32), expiresMs: now - 1 };
    assert.equal(refusalOf(await upload(past)), "BAD_INVITE");
    const far = { tokenHash: random(32), expiresMs: now + 31 * 24 * 3_600_000 };
    assert.equal(refusalOf(await upload(far)), "BAD_INVITE");
    for (let i = 1; i < 64; i++) await upload({ tokenHash: random(32) });
    assert.equal(refusalOf(await upload({ tokenHash: random(32) })), "BUSY");
    server.clock.shiftMs += 61_000;
    const { token } = await inviteDevice(owner, server); // expired ones make room
    server.clock.shiftMs += 61_000;
    const client = await server.connect();
    const fetched = await client.request(RequestCode.FETCH_INVITE, login.encodeToken(token));
    assert.equal(refusalOf(fetched), "BAD_INVITE");
  });
});

Deno.test("an operator's invite is not good for joining, nor an owner's for founding", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    const { token, statement } = await inviteDevice(owner, server);
    const client = await server.connect();
    const found = login.encodeEnrolment({ token, statement });
    assert.equal(refusalOf(await client.request(RequestCode.FOUND, found)), "BAD_INVITE");
    const operators = login.encodeEnrolment({ token: await server.invite(), statement });
    assert.equal(refusalOf(await client.request(RequestCode.JOIN, operators)), "BAD_INVITE");
  });
});

/** What an owner and a joining device make of an invite. */
async function inviteDevice(owner: TestMember, server: TestServer) {
  const keys = await deriveInviteKeys(random(32));
  const expiresMs = server.clock.wall() + 60_000;
  const grant = await grantInvite({
    vaultId: owner.vault.id,
    owner: { id: owner.device.id, sign: owner.device.sign },
    role: 2,
    expiresMs,
    publicKey: keys.publicKey,
  });
  const bundle = random(700);
  const upload = { tokenHash: tokenHash(keys.token), expiresMs, bundle };
  await owner.ask(RequestCode.INVITE, v4.encodeInviteUpload(upload));
  const body = encodeDevice({
    role: 2,
    keys: deviceB.publicKey,
    sealedName: random(20),
    grant,
  });
  const signer = { id: inviteId(keys.publicKey), sign: keys.sign };
  const statement = await owner.vault.sign(signer, EventKind.DEVICE, body, owner.seen);
  return { token: keys.token, statement, bundle };
}
