import assert from "node:assert/strict";
import { DamagedError } from "../../lib/errors.ts";
import { openWithPassphrase, sealWithPassphrase } from "../../lib/vault/passphrase.ts";
import { pseudoRandom } from "./fixture.ts";

const plaintext = pseudoRandom(100, 1);

Deno.test("keys under a passphrase open with it, however it is typed, and with no other", async () => {
  const sealed = await sealWithPassphrase("caf\u00e9 au lait", { plaintext });
  assert.deepEqual(await openWithPassphrase("cafe\u0301 au lait", sealed), plaintext);
  await assert.rejects(openWithPassphrase("cafe au lait", sealed), DamagedError);
});

Deno.test("openWithPassphrase() rejects every flipped byte and every truncation", async () => {
  const sealed = await sealWithPassphrase("secret", { plaintext, costLog: 4 });
  for (let i = 0; i < sealed.length; i++) {
    const flipped = sealed.slice();
    flipped[i] ^= 1;
    await assert.rejects(openWithPassphrase("secret", flipped), DamagedError, `byte ${i}`);
    await assert.rejects(openWithPassphrase("secret", sealed.subarray(0, i)), DamagedError);
  }
});

Deno.test("openWithPassphrase() does not let a file ask for any amount of memory", async () => {
  const sealed = await sealWithPassphrase("secret", { plaintext, costLog: 4 });
  sealed[1] = 40;
  await assert.rejects(openWithPassphrase("secret", sealed), /too much memory/);
});
