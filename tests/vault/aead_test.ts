import assert from "node:assert/strict";
import { concatBytes } from "../../lib/bytes.ts";
import { DamagedError } from "../../lib/errors.ts";
import { decryptChaCha, encryptChaCha } from "../../lib/vault/aead.ts";

/** RFC 8439, section 2.8.2. */
const RFC = {
  key: Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i),
  nonce: Uint8Array.fromHex("070000004041424344454647"),
  covered: Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
  plaintext: new TextEncoder().encode(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
      "sunscreen would be it.",
  ),
  ciphertext: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
    "3ff4def08e4b7a9de576d26586cec64b6116",
  tag: "1ae10b594f09e26a7e902ecbd0600691",
};

Deno.test("encryptChaCha() gives the ciphertext of RFC 8439, in whatever parts", () => {
  const { key, nonce, covered, plaintext, ciphertext, tag } = RFC;
  for (let cut = 0; cut <= plaintext.length; cut++) {
    const parts = [plaintext.subarray(0, cut), plaintext.subarray(cut)];
    const sealed = concatBytes(...encryptChaCha(key, { nonce, covered, parts }));
    assert.equal(sealed.toHex(), ciphertext + tag);
  }
});

Deno.test("decryptChaCha() opens it, and nothing that is changed, cut or covered by something else", () => {
  const { key, nonce, covered, plaintext } = RFC;
  const ciphertext = Uint8Array.fromHex(RFC.ciphertext + RFC.tag);
  const open = (changes: Partial<{ covered: Uint8Array; ciphertext: Uint8Array }>) =>
    decryptChaCha(key, { nonce, covered, ciphertext, what: "message", ...changes });
  const opened = open({});
  assert.deepEqual(opened, new Uint8Array(plaintext));
  assert.equal(opened.buffer.byteLength, opened.length, "it shares its buffer");
  for (let i = 0; i < ciphertext.length; i++) {
    const flipped = ciphertext.slice();
    flipped[i] ^= 1 << (i % 8);
    assert.throws(() => open({ ciphertext: flipped }), DamagedError);
    assert.throws(() => open({ ciphertext: ciphertext.subarray(0, i) }), DamagedError);
  }
  assert.throws(() => open({ covered: covered.subarray(1) }), DamagedError);
});
