import assert from "node:assert/strict";
import { EventKind } from "../../lib/journal.ts";
import { encodeDevice, encodeDrill, encodeRevoke } from "../../lib/journal_body.ts";
import { decryptLoginSecret, loginMessage, proveLogin } from "../../lib/login.ts";
import * as v4 from "../../lib/protocol_v4.ts";
import { AnswerCode, RequestCode } from "../../lib/protocol_v4.ts";
import * as login from "../../lib/protocol_v4_login.ts";
import { RecordType } from "../../lib/record.ts";
import {
  deviceA,
  deviceB,
  makeRecord,
  random,
  refusalOf,
  type TestClient,
  TestMember,
  withServer,
} from "./fixture.ts";

Deno.test("login takes the device's proof once, and no other", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    const { vault } = member;
    const client = await server.connect();
    const { nonce, cipher } = await client.hello(deviceA, vault.id);
    const secret = await decryptLoginSecret(deviceA.rsa, cipher);
    const challenge = { pin: client.certificate.pin, signer: deviceA.id, nonce };
    const wrong = proveLogin(random(32), challenge);
    assert.equal(refusalOf(await client.request(RequestCode.PROVE, wrong)), "BAD_PROOF");
    // The challenge is spent: the right proof comes too late.
    const right = proveLogin(secret, challenge);
    assert.equal(refusalOf(await client.request(RequestCode.PROVE, right)), "PROTOCOL");
    const welcome = await (await server.connect()).login(deviceA, vault.id);
    assert.equal(welcome.role, 3);
    assert.equal(welcome.headNumber, 1);
    assert.deepEqual(welcome.headHash, member.seen.hash);
  });
});

Deno.test("login refuses a proof that was made for another server", async () => {
  await withServer(async (server) => {
    const { vault } = await server.found();
    const client = await server.connect();
    const { nonce, cipher } = await client.hello(deviceA, vault.id);
    const secret = await decryptLoginSecret(deviceA.rsa, cipher);
    const proof = proveLogin(secret, { pin: random(32), signer: deviceA.id, nonce });
    assert.equal(refusalOf(await client.request(RequestCode.PROVE, proof)), "BAD_PROOF");
  });
});

Deno.test("login knows neither unknown devices nor devices of other vaults", async () => {
  await withServer(async (server) => {
    const a = await server.found(deviceA);
    const b = await server.found(deviceB);
    const client = await server.connect();
    const { DEVICE, RECOVERY } = login.LoginKind;
    for (
      const hello of [
        { kind: DEVICE, id: deviceA.id, vaultId: b.vault.id },
        { kind: DEVICE, id: deviceA.id, vaultId: random(32) },
        { kind: DEVICE, id: random(16), vaultId: a.vault.id },
        { kind: RECOVERY, id: random(16) },
      ]
    ) {
      const answer = await client.request(RequestCode.HELLO, login.encodeHello(hello));
      assert.equal(refusalOf(answer), "UNKNOWN");
    }
  });
});

Deno.test("a revoked device is out at once, also on an open connection, and cannot log in", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    await owner.addDevice(deviceB, 1);
    const client = await server.connect();
    await client.login(deviceB, owner.vault.id);
    const writer = new TestMember(client, deviceB, owner.vault, owner.seen);
    await writer.open();
    await writer.put(makeRecord(RecordType.DATA));
    const startedAt = performance.now();
    await owner.append(EventKind.REVOKE, encodeRevoke(deviceB.id));
    // Its connection ends by itself, whether it asks for something or not.
    assert.ok(await client.isClosed());
    assert.ok(performance.now() - startedAt < 1000);
    await assert.rejects(writer.ask(RequestCode.EVENTS, v4.encodeEventsAfter(0)));
    const hello = { kind: login.LoginKind.DEVICE, id: deviceB.id, vaultId: owner.vault.id };
    const again = await server.connect();
    const answer = await again.request(RequestCode.HELLO, login.encodeHello(hello));
    assert.equal(refusalOf(answer), "FORBIDDEN");
  });
});

Deno.test("roles: a writer may put and list, and nothing else", async () => {
  await withServer(async (server) => {
    const owner = await server.found(deviceA);
    await owner.addDevice(deviceB, 1);
    const client = await server.connect();
    await client.login(deviceB, owner.vault.id);
    const writer = new TestMember(client, deviceB, owner.vault, owner.seen);
    await writer.open();
    const record = makeRecord(RecordType.DATA);
    await writer.put(record);
    assert.deepEqual(await writer.has(record), [true]);
    for (const code of [RequestCode.GET, RequestCode.READ]) {
      assert.equal(await writer.refused(code, v4.encodeIds([record.id])), "FORBIDDEN");
    }
    const invite = { tokenHash: random(32), expiresMs: Date.now() + 1000, bundle: random(10) };
    assert.equal(
      await writer.refused(RequestCode.INVITE, v4.encodeInviteUpload(invite)),
      "FORBIDDEN",
    );
    const revoke = await writer.statement(EventKind.REVOKE, encodeRevoke(deviceA.id));
    assert.equal(await writer.refused(RequestCode.APPEND, revoke), "FORBIDDEN");
    const counts = { files: 1, bytes: 1, compared: 0, differing: 0, damaged: 0 };
    const body = encodeDrill({ root: record.id, ...counts });
    const drill = await writer.statement(EventKind.DRILL, body);
    assert.equal(await writer.refused(RequestCode.APPEND, drill), "FORBIDDEN");
    await writer.append(EventKind.REVOKE, encodeRevoke(deviceB.id)); // itself it may
    assert.equal(await writer.refused(RequestCode.EVENTS, v4.encodeEventsAfter(0)), "FORBIDDEN");
    assert.equal(await writer.refused(RequestCode.STATUS), "FORBIDDEN");
  });
});

Deno.test("a recovery code logs in by signature, and may add a device but not put", async () => {
  await withServer(async (server) => {
    const { vault, seen } = await server.found(deviceA);
    const { recovery } = vault;
    const client = await server.connect();
    await loginWithCode(client, recovery);
    const recoverer = { id: recovery.id, sign: recovery.sign };
    const body = encodeDevice({ role: 3, keys: deviceB.publicKey, sealedName: random(20) });
    const statement = await vault.sign(recoverer, EventKind.DEVICE, body, seen);
    const appended = await client.request(RequestCode.APPEND, statement);
    assert.equal(appended.code, AnswerCode.APPENDED);
    const session = v4.encodeSessionId(random(16));
    assert.equal(refusalOf(await client.request(RequestCode.OPEN, session)), "FORBIDDEN");
    const get = v4.encodeIds([random(32)]);
    assert.equal(refusalOf(await client.request(RequestCode.GET, get)), "FORBIDDEN");
    assert.equal((await (await server.connect()).login(deviceB, vault.id)).role, 3);
  });
});

Deno.test("a wrong recovery signature is refused", async () => {
  await withServer(async (server) => {
    const { vault } = await server.found(deviceA);
    const client = await server.connect();
    const other = { ...vault.recovery, sign: deviceB.sign };
    await assert.rejects(loginWithCode(client, other), /BAD_PROOF/);
  });
});

Deno.test("what makes no sense ends the connection", async () => {
  await withServer(async (server) => {
    const big = new Uint8Array(400 * 1024);
    for (
      const [what, send] of Object.entries<(client: TestClient) => Promise<unknown>>({
        "a request before login": (client) => client.send(RequestCode.EVENTS, new Uint8Array(8)),
        "an unknown code": (client) => client.send(9),
        "a short payload": (client) => client.send(RequestCode.HELLO, new Uint8Array(3)),
        "a large payload": (client) => client.send(RequestCode.FOUND, big),
        "another version": (client) => client.channel.write(new Uint8Array(12)),
        "flags": (client) =>
          client.channel.write(v4.encodeFrame(RequestCode.PING, { requestId: 1, flags: 1 })),
      })
    ) {
      const client = await server.connect();
      await send(client);
      assert.ok(await client.isClosed(), what);
    }
  });
});

Deno.test("a stranger has a bounded number of requests, and a bounded time", async () => {
  await withServer(async (server) => {
    const client = await server.connect();
    for (let i = 0; i < 16; i++) {
      assert.equal((await client.request(RequestCode.PING)).code, AnswerCode.DONE);
    }
    assert.equal(refusalOf(await client.request(RequestCode.PING)), "PROTOCOL");
    const slow = await server.connect();
    await slow.request(RequestCode.PING); // its time has begun
    server.clock.shiftMs += 31_000;
    await slow.request(RequestCode.PING);
    assert.ok(await slow.isClosed());
  });
});

async function loginWithCode(
  client: TestClient,
  { id, sign }: { id: Uint8Array; sign: (message: Uint8Array<ArrayBuffer>) => unknown },
): Promise<void> {
  const hello = login.encodeHello({ kind: login.LoginKind.RECOVERY, id });
  const { payload } = await client.request(RequestCode.HELLO, hello);
  const { nonce, cipher } = login.decodeChallenge(payload);
  assert.equal(cipher.length, 0);
  const message = loginMessage({ pin: client.certificate.pin, signer: id, nonce });
  const answer = await client.request(RequestCode.PROVE, await sign(message) as Uint8Array);
  if (answer.code === AnswerCode.ERROR) throw new Error(refusalOf(answer));
  assert.equal(login.decodeWelcome(answer.payload).role, login.RECOVERY_ROLE);
}
