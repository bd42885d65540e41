import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatMeInfo,
  IdentityFolder,
  parseMeInfo,
  parsePrivateKey,
} from "../../lib/client/identity.ts";
import { generateRsaKeyPair } from "../../lib/crypto.ts";
import { DamagedError } from "../../lib/errors.ts";
import { withFolder } from "../programs.ts";
import { check } from "../property.ts";

const bytes = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => new Uint8Array(bytes));

Deno.test("parseMeInfo() reads what formatMeInfo() writes", () => {
  const name = fc.string({ minLength: 1 }).filter((text) =>
    text.trim() === text && !/[\r\n]/.test(text)
  );
  check(fc.property(name, bytes(16), bytes(40), (name, clientId, privateKey) => {
    const identity = { name, clientId, privateKey };
    assert.deepEqual(parseMeInfo(formatMeInfo(identity)), identity);
  }));
});

Deno.test("parseMeInfo() rejects every truncation that loses the id", () => {
  const text = formatMeInfo({
    name: "alice",
    clientId: new Uint8Array(16).fill(7),
    privateKey: new Uint8Array(633),
  });
  for (let length = 0; length < "alice\n".length + 32; length++) {
    assert.throws(() => parseMeInfo(text.slice(0, length)), DamagedError);
  }
});

Deno.test("parsePrivateKey() knows raw DER from base64", () => {
  const der = Uint8Array.fromHex("308202750201");
  assert.deepEqual(parsePrivateKey(der), der);
  assert.deepEqual(parsePrivateKey(new TextEncoder().encode("MIIC\r\ndQIB\n")), der);
  assert.equal(parsePrivateKey(new TextEncoder().encode("not base64!")), undefined);
  assert.equal(parsePrivateKey(new Uint8Array(0)), undefined);
});

Deno.test("IdentityFolder keeps every identity that it replaces", () =>
  withFolder(async (folder) => {
    const identities = new IdentityFolder(folder);
    assert.equal(await identities.read(), undefined);
    const { privateKey } = await generateRsaKeyPair();
    for (let n = 1; n <= 3; n++) {
      const identity = { name: `name ${n}`, clientId: new Uint8Array(16).fill(n), privateKey };
      await identities.writeBegun(identity);
      assert.deepEqual(await identities.readBegun(), identity);
      await identities.acceptBegun();
      assert.deepEqual(await identities.read(), identity);
    }
    const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
    assert.deepEqual(names, ["me.info", "me.info.old-1", "me.info.old-2"]);
    assert.match(Deno.readTextFileSync(`${folder}/me.info.old-2`), /^name 2\n/);
  }));

Deno.test("IdentityFolder registers with the key that is there, and replaces one that does not fit", () =>
  withFolder(async (folder) => {
    const identities = new IdentityFolder(folder);
    const first = await identities.prepareKeyPair();
    assert.deepEqual(await identities.prepareKeyPair(), first);
    Deno.writeTextFileSync(`${folder}/priv.key`, "garbage!");
    const second = await identities.prepareKeyPair();
    assert.notDeepEqual(second, first);
    assert.equal(Deno.readTextFileSync(`${folder}/priv.key.old-1`), "garbage!");
  }));
