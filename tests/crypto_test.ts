import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import fc from "fast-check";
import { concatBytes } from "../lib/bytes.ts";
import {
  CbcDecryptor,
  CbcEncryptor,
  decryptSessionKey,
  derivePublicKey,
  encryptSessionKey,
  generateRsaKeyPair,
} from "../lib/crypto.ts";
import { DamagedError } from "../lib/errors.ts";
import { checkAsync } from "./property.ts";
import vectors from "./vectors/classic.json" with { type: "json" };

const hex = (text: string) => Uint8Array.fromHex(text);

Deno.test("CbcEncryptor gives the ciphertext of OpenSSL", async () => {
  const encryptor = await CbcEncryptor.create(hex(vectors.sessionKey));
  assert.equal((await encryptor.finish(hex(vectors.plain))).toHex(), vectors.cipher);
});

Deno.test("CbcDecryptor opens the ciphertext of OpenSSL", async () => {
  const decryptor = await CbcDecryptor.create(hex(vectors.sessionKey));
  assert.equal((await decryptor.finish(hex(vectors.cipher))).toHex(), vectors.plain);
});

Deno.test("CbcEncryptor gives the ciphertext of NIST SP 800-38A, F.2.1", async () => {
  // The example has an IV. With an IV of zeros, the same comes out if it is XORed into the first block.
  const iv = hex("000102030405060708090a0b0c0d0e0f");
  const plain = hex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
  );
  for (let i = 0; i < iv.length; i++) plain[i] ^= iv[i];
  const encryptor = await CbcEncryptor.create(hex("2b7e151628aed2a6abf7158809cf4f3c"));
  assert.equal(
    (await encryptor.update(plain)).toHex(),
    "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" +
      "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
  );
});

/** A message, and where to cut it: multiples of 16 that leave something for the last piece. */
const CUT_MESSAGE = fc.uint8Array({ maxLength: 400 }).chain((plain) =>
  fc.tuple(fc.constant(plain), fc.uniqueArray(fc.nat({ max: plain.length >> 4 })))
    .map(([plain, cuts]) => ({ plain, cuts: cuts.sort((a, b) => a - b).map((cut) => cut * 16) }))
);

Deno.test("CbcEncryptor joins pieces to one message, as node:crypto encrypts it", async () => {
  await checkAsync(fc.asyncProperty(CUT_MESSAGE, async ({ plain, cuts }) => {
    const key = hex(vectors.sessionKey);
    const encryptor = await CbcEncryptor.create(key);
    const pieces = [];
    let start = 0;
    for (const cut of cuts) {
      pieces.push(await encryptor.update(plain.slice(start, cut)));
      start = cut;
    }
    pieces.push(await encryptor.finish(plain.slice(start)));
    const reference = createCipheriv("aes-128-cbc", key, new Uint8Array(16));
    const expected = concatBytes(reference.update(plain), reference.final());
    assert.equal(concatBytes(...pieces).toHex(), expected.toHex());
  }));
});

Deno.test("CbcDecryptor opens a message however it is cut", async () => {
  await checkAsync(fc.asyncProperty(CUT_MESSAGE, async ({ plain, cuts }) => {
    const key = hex(vectors.sessionKey);
    const cipher = await (await CbcEncryptor.create(key)).finish(plain.slice());
    const decryptor = await CbcDecryptor.create(key);
    const pieces = [];
    let start = 0;
    for (const cut of cuts) {
      pieces.push(await decryptor.update(cipher.subarray(start, cut)));
      start = cut;
    }
    pieces.push(await decryptor.finish(cipher.subarray(start)));
    assert.equal(concatBytes(...pieces).toHex(), plain.toHex());
  }));
});

Deno.test("CbcDecryptor copies a piece before update() returns", async () => {
  const key = hex(vectors.sessionKey);
  const plain = crypto.getRandomValues(new Uint8Array(64));
  const cipher = await (await CbcEncryptor.create(key)).finish(plain);
  const decryptor = await CbcDecryptor.create(key);
  const piece = cipher.slice(0, 64);
  const opening = decryptor.update(piece);
  piece.fill(0);
  assert.equal((await opening).toHex(), plain.toHex());
});

Deno.test("CbcDecryptor rejects another key by its padding", async () => {
  const decryptor = await CbcDecryptor.create(new Uint8Array(16));
  await assert.rejects(decryptor.finish(hex(vectors.cipher)), DamagedError);
});

Deno.test("decryptSessionKey() opens what OpenSSL and PyCryptodome encrypted", async () => {
  const privateKey = hex(vectors.privateKey);
  for (const encrypted of [vectors.encryptedByOpenssl, vectors.encryptedByPycryptodome]) {
    const sessionKey = await decryptSessionKey(privateKey, hex(encrypted));
    assert.equal(sessionKey.toHex(), vectors.sessionKey);
  }
});

Deno.test("decryptSessionKey() rejects every flipped byte", async () => {
  const encrypted = hex(vectors.encryptedByOpenssl);
  for (let i = 0; i < encrypted.length; i++) {
    const flipped = encrypted.slice();
    flipped[i] ^= 1;
    await assert.rejects(decryptSessionKey(hex(vectors.privateKey), flipped), DamagedError);
  }
});

Deno.test("generateRsaKeyPair() draws keys whose public half has 160 bytes", async () => {
  const { publicKey, privateKey } = await generateRsaKeyPair();
  assert.equal(publicKey.length, 160);
  assert.equal((await derivePublicKey(privateKey)).toHex(), publicKey.toHex());
  const sessionKey = crypto.getRandomValues(new Uint8Array(16));
  const encrypted = await encryptSessionKey(publicKey, sessionKey);
  assert.equal(encrypted.length, 128);
  assert.equal((await decryptSessionKey(privateKey, encrypted)).toHex(), sessionKey.toHex());
});

Deno.test("derivePublicKey() gives the public key that OpenSSL gives", async () => {
  const publicKey = await derivePublicKey(hex(vectors.privateKey));
  assert.equal(publicKey.toHex(), vectors.publicKey);
});

Deno.test("encryptSessionKey() rejects every truncation of a public key", async () => {
  const publicKey = hex(vectors.publicKey);
  for (let length = 0; length < publicKey.length; length++) {
    const cut = publicKey.slice(0, length);
    await assert.rejects(encryptSessionKey(cut, new Uint8Array(16)), DamagedError);
  }
});

Deno.test("encryptSessionKey() takes a key that is padded with zeros", async () => {
  const padded = concatBytes(hex(vectors.publicKey), new Uint8Array(3));
  const encrypted = await encryptSessionKey(padded, hex(vectors.sessionKey));
  const opened = await decryptSessionKey(hex(vectors.privateKey), encrypted);
  assert.equal(opened.toHex(), vectors.sessionKey);
});
