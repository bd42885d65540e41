import assert from "node:assert/strict";
import fc from "fast-check";
import { concatBytes } from "../lib/bytes.ts";
import {
  decodeEvent,
  decodeStatement,
  encodeEvent,
  encodeStatement,
  EventKind,
  importVerifier,
  JournalError,
  signedMessage,
  verifySignature,
} from "../lib/journal.ts";
import {
  decodeCommit,
  decodeDevice,
  decodeDrill,
  decodeFound,
  decodeKeys,
  decodePolicy,
  decodeRecovery,
  decodeRestore,
  decodeRevoke,
  decodeRoots,
  decodeSlot,
  encodeCommit,
  encodeDevice,
  encodeDrill,
  encodeFoundFields,
  encodeKeys,
  encodePolicy,
  encodeRecoveryFields,
  encodeRestore,
  encodeRevoke,
  encodeRoots,
  encodeSlot,
  Restored,
} from "../lib/journal_body.ts";
import { Role } from "../lib/identity.ts";
import { policyOf, random } from "./journal_fixture.ts";
import { check } from "./property.ts";

const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
const statement = fc.record({
  kind: fc.constantFrom(...Object.values(EventKind)),
  signer: bytes(16),
  seen: fc.record({ number: fc.maxSafeNat(), hash: bytes(32) }, { noNullPrototype: true }),
  body: fc.uint8Array({ maxLength: 60 }),
  signature: bytes(64),
}, { noNullPrototype: true });
const place = fc.record({
  number: fc.maxSafeNat(),
  previous: bytes(32),
  timeMs: fc.maxSafeNat(),
}, { noNullPrototype: true });

Deno.test("decodeEvent() gives back what was encoded", () => {
  check(fc.property(place, statement, (place, statement) => {
    const event = decodeEvent(encodeEvent(place, encodeStatement(statement)));
    const { hash: _, ...fields } = event;
    assert.deepEqual(fields, { ...place, ...statement });
    assert.deepEqual(decodeStatement(encodeStatement(statement)), statement);
  }));
});

Deno.test("decodeEvent() rejects every truncation and anything behind the end", () => {
  const [inner] = fc.sample(statement, { numRuns: 1, seed: 1 });
  const event = encodeEvent(
    { number: 5, previous: new Uint8Array(32), timeMs: 1 },
    encodeStatement(inner),
  );
  for (let size = 0; size < event.length; size++) {
    assert.throws(() => decodeEvent(event.subarray(0, size)), JournalError);
  }
  assert.throws(() => decodeEvent(Uint8Array.of(...event, 0)), { fault: "malformed" });
  assert.throws(() => decodeEvent(new Uint8Array(256 * 1024 + 1)), { fault: "malformed" });
});

Deno.test("signedMessage() differs when bytes move from one field to the next", () => {
  const seen = { number: 1, hash: new Uint8Array(32) };
  const fields = { kind: EventKind.COMMIT, signer: new Uint8Array(16), seen };
  const a = signedMessage({ ...fields, body: Uint8Array.of(1, 2) }, new Uint8Array(32));
  const b = signedMessage({ ...fields, body: Uint8Array.of(2) }, new Uint8Array(33));
  assert.notDeepEqual(a, b);
});

Deno.test("verifySignature() knows the example of RFC 8032, 7.1, test 3", () => {
  const verifier = importVerifier(
    Uint8Array.fromHex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
  );
  const signature = Uint8Array.fromHex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
      "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  );
  assert.ok(verifySignature(Uint8Array.of(0xaf, 0x82), { verifier, signature }));
  assert.ok(!verifySignature(Uint8Array.of(0xaf, 0x83), { verifier, signature }));
});

const keys = { rsa: random(422), kem: random(1184), ed25519: random(32) };
const code = { x25519: random(32), kem: random(1184), ed25519: random(32) };
const recovery = { keys: code, codeProof: random(64) };
const readKey = { rsa: random(422), kem: random(1184) };
const grant = { owner: random(16), expiresMs: 7, publicKey: random(32), signature: random(64) };
const found = {
  ...{ owner: keys, recovery: code, readKey, secretCheck: random(16), sealedName: random(9) },
  codeProof: random(64),
};
const device = { role: Role.READER, keys, sealedName: random(5) };
const epoch = { epoch: 2, readKey, secretCheck: random(16) };
const slot = { recipient: random(16), epoch: 3, sealed: random(50) };
const commit = { root: random(32), setLabel: random(16), tagLabels: [random(16), random(16)] };
const restore = { what: Restored.SLOT, id: random(16), number: 9 };
const counts = { files: 100, compared: 90, differing: 90, damaged: 10 };
const drill = { root: random(32), bytes: 2 ** 40, ...counts };
const roots = [random(32), random(32)];
const policy = policyOf({ hourly: 24, yearly: 3 });

/** Kind, body, encoded, decoder, and whether a body may end anywhere. */
const BODIES: [string, unknown, Uint8Array, (bytes: Uint8Array) => unknown, boolean?][] = [
  ["found", found, concatBytes(encodeFoundFields(found), found.codeProof), decodeFound],
  ["device", device, encodeDevice(device), decodeDevice],
  ["device by invite", { ...device, grant }, encodeDevice({ ...device, grant }), decodeDevice],
  ["revoke", slot.recipient, encodeRevoke(slot.recipient), decodeRevoke],
  ["keys", epoch, encodeKeys(epoch), decodeKeys],
  ["slot", slot, encodeSlot(slot), decodeSlot, true],
  ["commit", commit, encodeCommit(commit), decodeCommit],
  ["forget", roots, encodeRoots(roots), decodeRoots],
  ["policy", policy, encodePolicy(policy), decodePolicy],
  [
    ...["recovery", recovery] as const,
    concatBytes(encodeRecoveryFields(recovery), recovery.codeProof),
    decodeRecovery,
  ],
  ["drill", drill, encodeDrill(drill), decodeDrill],
  ["restore", restore, encodeRestore(restore), decodeRestore],
];

for (const [name, body, encoded, decode, openEnd] of BODIES) {
  Deno.test(`body of ${name}: round trip, every truncation, and more at the end`, () => {
    assert.deepEqual(decode(encoded), body);
    if (openEnd) return;
    for (let size = 0; size < encoded.length; size++) {
      assert.throws(() => decode(encoded.subarray(0, size)));
    }
    assert.throws(() => decode(Uint8Array.of(...encoded, 0)));
  });
}

Deno.test("bodies hold to their bounds", () => {
  assert.throws(() => encodeRoots([]), RangeError);
  assert.throws(() => decodeRoots(Uint8Array.of(0, 0)), RangeError);
  assert.throws(() => encodeRoots(new Array(1025).fill(random(32))), RangeError);
  assert.throws(() => encodePolicy(policyOf({ holdMs: 1000 })), RangeError);
  assert.throws(() => encodeDevice({ ...device, sealedName: random(321) }), RangeError);
  for (const wrong of [{ files: 0 }, { compared: 91 }, { differing: 91 }, { damaged: 11 }]) {
    assert.throws(() => encodeDrill({ ...drill, ...wrong }), RangeError);
  }
  assert.throws(() => decodeDrill(encodeDrill(drill).with(44, 91)), RangeError); // compared
  const tagLabels = new Array(33).fill(random(16));
  assert.throws(() => encodeCommit({ ...commit, tagLabels }), RangeError);
});
