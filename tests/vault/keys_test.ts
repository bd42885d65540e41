import assert from "node:assert/strict";
import { DamagedError, UsageError } from "../../lib/errors.ts";
import { hkdf, hmac } from "../../lib/kdf.ts";
import { recordId, RecordType } from "../../lib/record.ts";
import { encodeFoundFields } from "../../lib/journal_body.ts";
import { proveCode } from "../../lib/journal_code.ts";
import { EventKind, JOURNAL_START, vaultIdOf } from "../../lib/journal.ts";
import { encodeEvent, signStatement } from "../../lib/journal.ts";
import { JournalState } from "../../lib/journal_state.ts";
import { Role } from "../../lib/identity.ts";
import {
  checkLogin,
  decryptLoginSecret,
  encryptLoginSecret,
  importRsaPublicKey,
  loginMessage,
  proveLogin,
} from "../../lib/login.ts";
import { openName, sealName } from "../../lib/vault/device_name.ts";
import { deriveInviteKeys, grantInvite, openBundle, sealBundle } from "../../lib/vault/invite.ts";
import {
  checkKeyring,
  decodeKeyring,
  encodeKeyring,
  MISSING_EPOCH,
  narrowKeyring,
  openRecoverySlot,
  openSlot,
  sealRecoverySlot,
  sealSlot,
} from "../../lib/vault/keyring.ts";
import {
  generateDeviceKey,
  generateReadKey,
  importDeviceKey,
  importReadKey,
} from "../../lib/vault/private_key.ts";
import {
  deriveRecoveryKey,
  formatRecoveryCode,
  parseRecoveryCode,
} from "../../lib/vault/recovery.ts";
import { openRoot, rootSession, sealRoot } from "../../lib/vault/root.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel, tagLabel } from "../../lib/vault/secrets.ts";
import {
  createSession,
  maskKey,
  openSession,
  sessionEpoch,
  unmaskKey,
} from "../../lib/vault/session.ts";
import { importSigner } from "../../lib/vault/signing.ts";
import { unwrap, wrap } from "../../lib/vault/wrap.ts";
import { idOf, pseudoRandom, referenceOf } from "./fixture.ts";

const deviceBytes = await generateDeviceKey();
const readBytes = await generateReadKey();
const device = await importDeviceKey(deviceBytes);
const readKey = await importReadKey(readBytes);
const vaultId = idOf(1, 9);
const context = { purpose: "session" as const, vaultId, epoch: 1 };

Deno.test("hkdf() and hmac() know the examples of RFC 5869 and RFC 4231", () => {
  const okm = hkdf(Uint8Array.fromHex("0b".repeat(22)), {
    salt: Uint8Array.fromHex("000102030405060708090a0b0c"),
    info: Uint8Array.fromHex("f0f1f2f3f4f5f6f7f8f9"),
    size: 42,
  });
  const expected =
    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
  assert.equal(okm.toHex(), expected);
  const text = new TextEncoder();
  const mac = hmac(
    text.encode("Jefe"),
    text.encode("what do ya want "),
    text.encode("for nothing?"),
  );
  assert.equal(mac.toHex(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
});

Deno.test("importSigner() gives the key of RFC 8032, 7.1, test 3", async () => {
  const seed = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
  const { publicKey, sign } = await importSigner(Uint8Array.fromHex(seed));
  assert.equal(
    publicKey.toHex(),
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
  );
  const signature = await sign(Uint8Array.of(0xaf, 0x82));
  assert.match(signature.toHex(), /^6291d657deec24024827e69c3abe01a3/);
});

Deno.test("private keys come back from their bytes; damaged bytes are named", async () => {
  assert.deepEqual((await importDeviceKey(deviceBytes)).publicKey, device.publicKey);
  assert.deepEqual((await importDeviceKey(deviceBytes)).id, device.id);
  await assert.rejects(importReadKey(deviceBytes), DamagedError);
  await assert.rejects(importDeviceKey(readBytes), DamagedError);
  for (const size of [0, 1, 100, readBytes.length - 1]) {
    await assert.rejects(importReadKey(readBytes.subarray(0, size)), /Cannot use read key/);
  }
});

Deno.test("unwrap() opens what was wrapped, and no flipped byte of it", async () => {
  const plaintext = pseudoRandom(32, 1);
  const wrapped = await wrap(readKey.publicKey, { plaintext, context });
  assert.equal(wrapped.length, 1520);
  assert.deepEqual(await unwrap(readKey, { wrapped, context }), plaintext);
  for (let i = 0; i < wrapped.length; i += 13) {
    const flipped = wrapped.slice();
    flipped[i] ^= 1;
    await assert.rejects(unwrap(readKey, { wrapped: flipped, context }), DamagedError, `byte ${i}`);
  }
  for (const size of [0, 383, 384, 1471, 1472, 1487, 1519]) {
    const cut = wrapped.subarray(0, size);
    await assert.rejects(unwrap(readKey, { wrapped: cut, context }), DamagedError);
  }
});

Deno.test("unwrap() needs the same purpose, vault, epoch and key", async () => {
  const wrapped = await wrap(readKey.publicKey, { plaintext: idOf(1), context });
  const others = [{ purpose: "slot" as const }, { vaultId: idOf(2) }, { epoch: 2 }];
  for (const other of others) {
    const changed = { ...context, ...other };
    await assert.rejects(unwrap(readKey, { wrapped, context: changed }), DamagedError);
  }
  await assert.rejects(unwrap(device, { wrapped, context }), DamagedError);
  // Neither half of another recipient's key is enough.
  const half = { ...readKey, kem: device.kem };
  await assert.rejects(unwrap(half, { wrapped, context }), DamagedError);
  const otherHalf = { ...readKey, rsa: device.rsa };
  await assert.rejects(unwrap(otherHalf, { wrapped, context }), DamagedError);
});

Deno.test("a session masks keys, and only the read key opens it", async () => {
  const session = await createSession({ vaultId, epoch: 1, readKey: readKey.publicKey });
  const opened = await openSession(session.record, { id: session.id, vaultId, readKey });
  assert.deepEqual(opened.key, session.key);
  const [id, key] = [idOf(7), idOf(8)];
  const reference = maskKey(session, { id, key });
  assert.notDeepEqual(reference.maskedKey, key);
  assert.deepEqual(unmaskKey(opened, reference), key);
  assert.notDeepEqual(unmaskKey({ ...opened, key: idOf(1) }, reference), key);
  for (let i = 0; i < session.record.length; i += 37) {
    const flipped = session.record.slice();
    flipped[i] ^= 1;
    const fields = { vaultId, readKey };
    await assert.rejects(openSession(flipped, { ...fields, id: session.id }), DamagedError);
    assert.throws(() => sessionEpoch(flipped, session.id), DamagedError);
    await assert.rejects(openSession(flipped, { ...fields, id: recordId(flipped) }), DamagedError);
  }
});

Deno.test("a root opens with its session only, and no flipped byte of it", async () => {
  const session = { id: idOf(1, 2), key: idOf(4) };
  const root = {
    device: "00".repeat(16),
    timeMs: 1_700_000_000_000,
    host: "höst",
    paths: ["/home", "/var"],
    tags: ["nightly"],
    totals: { entries: 3, files: 2, bytes: 1 },
    ...{ skipped: 0, level: 2, top: referenceOf(5, 6) },
  };
  const { record, id } = await sealRoot(session, root);
  assert.deepEqual(rootSession(record), session.id);
  assert.deepEqual(await openRoot(record, { id, session }), root);
  const again = await sealRoot(session, root);
  assert.notDeepEqual(again.id, id);
  await assert.rejects(
    openRoot(record, { id, session: { ...session, key: idOf(5) } }),
    DamagedError,
  );
  await assert.rejects(
    openRoot(record, { id, session: { ...session, id: idOf(5) } }),
    /another session/,
  );
  for (let i = 0; i < record.length; i++) {
    const flipped = record.slice();
    flipped[i] ^= 1;
    await assert.rejects(openRoot(flipped, { id, session }), DamagedError);
    await assert.rejects(openRoot(flipped, { id: recordId(flipped), session }), DamagedError);
  }
  const sameSession = await sealRoot(session, { ...root, top: referenceOf(5, 1) });
  assert.equal((await openRoot(sameSession.record, { ...sameSession, session })).level, 2);
  assert.equal(sameSession.record[1], RecordType.ROOT);
});

Deno.test("recovery codes come back as typed, and every typing error is found", () => {
  const secret = pseudoRandom(32, 5);
  const code = formatRecoveryCode(secret);
  assert.match(code, /^([A-Z2-7]{4}-){13}[A-Z2-7]{4}$/);
  assert.deepEqual(parseRecoveryCode(code), secret);
  assert.deepEqual(parseRecoveryCode(code.toLowerCase().replaceAll("-", " ") + "\n"), secret);
  for (let i = 0; i < code.length; i++) {
    if (code[i] === "-") continue;
    const other = code[i] === "A" ? "B" : "A";
    const wrong = code.slice(0, i) + other + code.slice(i + 1);
    assert.throws(() => parseRecoveryCode(wrong), UsageError, `letter ${i}`);
    const missing = code.slice(0, i) + code.slice(i + 1);
    assert.throws(() => parseRecoveryCode(missing), /55 letters/);
  }
  assert.throws(() => parseRecoveryCode(code.replace(/./, "1")), UsageError);
});

Deno.test("slots open for their recipient only, and hold what they were given", async () => {
  const keyring = { role: Role.READER, epochs: [{ writeSecret: idOf(1), readKey: readBytes }] };
  const content = { pin: idOf(2), keyring };
  const sealed = await sealSlot(content, { vaultId, publicKey: device.publicKey });
  assert.deepEqual(await openSlot(device, { vaultId, epoch: 1, sealed }), content);
  await assert.rejects(openSlot(readKey, { vaultId, epoch: 1, sealed }), DamagedError);
  await assert.rejects(openSlot(device, { vaultId, epoch: 2, sealed }), DamagedError);

  const recovery = await deriveRecoveryKey(pseudoRandom(32, 6));
  const { publicKeys } = recovery;
  const slot = await sealRecoverySlot(content, { vaultId, publicKeys });
  assert.deepEqual(await openRecoverySlot(recovery, { vaultId, epoch: 1, sealed: slot }), content);
  const stranger = await deriveRecoveryKey(pseudoRandom(32, 7));
  await assert.rejects(
    openRecoverySlot(stranger, { vaultId, epoch: 1, sealed: slot }),
    DamagedError,
  );
  for (let i = 0; i < slot.length; i += 23) {
    const flipped = slot.slice();
    flipped[i] ^= 0x40;
    const fields = { vaultId, epoch: 1, sealed: flipped };
    await assert.rejects(openRecoverySlot(recovery, fields), DamagedError, `byte ${i}`);
  }
});

Deno.test("keyrings: round trip, every truncation, and writers get no read key", () => {
  const keyring = { role: Role.OWNER, epochs: [{ writeSecret: idOf(1), readKey: readBytes }] };
  const holed = { ...keyring, epochs: [keyring.epochs[0], MISSING_EPOCH, keyring.epochs[0]] };
  assert.deepEqual(decodeKeyring(encodeKeyring(holed)), holed);
  for (const at of [0, 2]) {
    const epochs = holed.epochs.with(at, MISSING_EPOCH);
    assert.throws(() => decodeKeyring(encodeKeyring({ ...holed, epochs })), /epoch is missing/);
  }
  const bytes = encodeKeyring(keyring);
  assert.deepEqual(decodeKeyring(bytes), keyring);
  for (let size = 0; size < bytes.length; size += 7) {
    assert.throws(() => decodeKeyring(bytes.subarray(0, size)), DamagedError);
  }
  const narrow = narrowKeyring(keyring, Role.WRITER);
  assert.deepEqual(decodeKeyring(encodeKeyring(narrow)), {
    role: Role.WRITER,
    epochs: [{ writeSecret: idOf(1) }],
  });
  assert.throws(() => narrowKeyring(narrow, Role.READER), RangeError);
});

Deno.test("checkKeyring() names secrets that are not those of the journal", async () => {
  const writeSecret = idOf(1);
  const recovery = await deriveRecoveryKey(pseudoRandom(32, 8));
  const fields = encodeFoundFields({
    owner: device.publicKey,
    recovery: recovery.publicKeys,
    readKey: readKey.publicKey,
    secretCheck: deriveWriteKeys(writeSecret).secretCheck,
    sealedName: await sealName("laptop", { writeSecret, epoch: 1 }),
  });
  const unproven = { kind: EventKind.FOUND, signer: device.id, seen: JOURNAL_START, body: fields };
  const body = await proveCode(unproven, { sign: recovery.sign });
  const id = vaultIdOf(body);
  const signed = await signStatement({ ...unproven, body }, { vaultId: id, sign: device.sign });
  const state = new JournalState();
  state.apply(encodeEvent({ number: 1, previous: JOURNAL_START.hash, timeMs: 1 }, signed));
  const facts = state.facts;
  assert.deepEqual(facts.vaultId, id);
  assert.deepEqual(facts.recovery.id, recovery.id);

  const right = { role: Role.READER, epochs: [{ writeSecret, readKey: readBytes }] };
  await checkKeyring(right, facts);
  const epoch = right.epochs[0];
  const wrong: [RegExp, typeof right][] = [
    [/another write secret/, { ...right, epochs: [{ ...epoch, writeSecret: idOf(2) }] }],
    [/another read key/, { ...right, epochs: [{ ...epoch, readKey: await generateReadKey() }] }],
    [/epoch 2 is not/, { ...right, epochs: [epoch, epoch] }],
  ];
  for (const [message, keyring] of wrong) {
    await assert.rejects(checkKeyring(keyring, facts), message);
  }
  const { sealedName } = state.device(device.id)!;
  assert.equal(await openName(sealedName, [writeSecret]), "laptop");
  await assert.rejects(openName(sealedName, [idOf(2)]), DamagedError);
});

Deno.test("an invite's bundle opens with its secret only", async () => {
  const keys = await deriveInviteKeys(pseudoRandom(32, 9));
  const granted = { vaultId, owner: device, role: Role.WRITER, expiresMs: 99 };
  const grant = await grantInvite({ ...granted, publicKey: keys.publicKey });
  const keyring = { role: Role.WRITER, epochs: [{ writeSecret: idOf(1) }] };
  const newest = { number: 4, hash: idOf(3) };
  const bundle = { vaultId, newest, role: Role.WRITER, grant, keyring };
  const sealed = await sealBundle(keys, bundle);
  assert.deepEqual(await openBundle(keys, sealed), bundle);
  assert.notDeepEqual(keys.token, keys.sealKey);
  const other = await deriveInviteKeys(pseudoRandom(32, 10));
  await assert.rejects(openBundle(other, sealed), DamagedError);
  for (let i = 0; i < sealed.length; i++) {
    const flipped = sealed.slice();
    flipped[i] ^= 1;
    await assert.rejects(openBundle(keys, flipped), DamagedError);
    await assert.rejects(openBundle(keys, sealed.subarray(0, i)), DamagedError);
  }
});

Deno.test("login: only the device can answer, and only to this server", async () => {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const publicKey = await importRsaPublicKey(device.publicKey.rsa);
  const encrypted = await encryptLoginSecret(publicKey, secret);
  assert.equal(encrypted.length, 384);
  assert.deepEqual(await decryptLoginSecret(device.rsa, encrypted), secret);
  await assert.rejects(decryptLoginSecret(readKey.rsa, encrypted), /not for this device/);
  const challenge = { pin: idOf(1), signer: device.id, nonce: idOf(2) };
  const proof = proveLogin(secret, challenge);
  assert.ok(checkLogin(secret, { challenge, proof }));
  for (const other of [{ pin: idOf(3) }, { signer: new Uint8Array(16) }, { nonce: idOf(3) }]) {
    assert.ok(!checkLogin(secret, { challenge: { ...challenge, ...other }, proof }));
  }
  assert.ok(!checkLogin(secret, { challenge, proof: proof.subarray(1) }));
  assert.equal(loginMessage(challenge).length, 16 + 32 + 16 + 32);
  await assert.rejects(importRsaPublicKey(new Uint8Array(422)), DamagedError);
});

Deno.test("labels depend on the key, the kind and every path", () => {
  const key = deriveLabelKey(idOf(1));
  const labels = [
    setLabel(key, ["/a", "/b"]),
    setLabel(key, ["/a/b"]),
    setLabel(key, ["/a"]),
    tagLabel(key, "/a"),
    setLabel(deriveLabelKey(idOf(2)), ["/a"]),
  ];
  assert.equal(new Set(labels.map((label) => label.toHex())).size, labels.length);
  assert.ok(labels.every((label) => label.length === 16));
});
