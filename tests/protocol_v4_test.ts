import assert from "node:assert/strict";
import fc from "fast-check";
import { TruncatedError } from "../lib/bytes.ts";
import { WIRE } from "../lib/limits.ts";
import { proveLogin } from "../lib/login.ts";
import * as login from "../lib/protocol_v4_login.ts";
import { decodeUsage, encodeUsage, type Usage } from "../lib/protocol_v4_usage.ts";
import * as v4 from "../lib/protocol_v4.ts";
import { check } from "./property.ts";

const hash = (first: number) => new Uint8Array(32).map((_, i) => (first + i) & 0xff);
const ids = [hash(1), hash(2), hash(3)];

/** One message of each kind: its bytes, and the way back. */
const MESSAGES = [
  message("frame header", {
    value: { flags: 1, code: 1122, requestId: 0xfffffffe, payloadBytes: 8 * 1024 * 1024 },
    encode: v4.encodeFrameHeader,
    decode: v4.decodeFrameHeader,
  }),
  message<login.Hello>("HELLO of a device", {
    value: { kind: login.LoginKind.DEVICE, id: hash(1).subarray(0, 16), vaultId: hash(7) },
    encode: login.encodeHello,
    decode: login.decodeHello,
  }),
  message<login.Hello>("HELLO of a recovery code", {
    value: { kind: login.LoginKind.RECOVERY, id: hash(1).subarray(0, 16) },
    encode: login.encodeHello,
    decode: login.decodeHello,
  }),
  message("CHALLENGE to a device", {
    value: { nonce: hash(1), cipher: new Uint8Array(384).fill(7) },
    encode: login.encodeChallenge,
    decode: login.decodeChallenge,
    shorter: [32],
  }),
  message("WELCOME", {
    value: {
      vaultId: hash(1),
      role: 3,
      headNumber: 77,
      headHash: hash(2),
      timeMs: 1_800_000_000_000,
      limits: { windowBytes: 1 << 25, idleMs: 300_000 },
    },
    encode: login.encodeWelcome,
    decode: login.decodeWelcome,
  }),
  message("EVENTS request", {
    value: 12345678901,
    encode: v4.encodeEventsAfter,
    decode: v4.decodeEventsAfter,
  }),
  message("EVENTS answer", {
    value: { headNumber: 9, events: [hash(1), hash(5).subarray(3)] },
    encode: v4.encodeEventsPage,
    decode: v4.decodeEventsPage,
    shorter: [8, 8 + 4 + 32],
  }),
  message("APPENDED", {
    value: { number: 5, hash: hash(9) },
    encode: v4.encodeAppended,
    decode: v4.decodeAppended,
  }),
  message("SEEN", {
    value: [
      { device: hash(4).subarray(0, 16), timeMs: 1 },
      { device: hash(5).subarray(0, 16), timeMs: 2 ** 50 },
    ],
    encode: v4.encodeSeen,
    decode: v4.decodeSeen,
    shorter: [0, 24],
  }),
  message<Usage>("USAGE", {
    value: {
      ...{ storedBytes: 2 ** 50, records: 1_000_000, condemned: 3, damaged: 2 },
      ...{ collectedMs: 1_800_000_000_000, packs: 77, unread: 5, oldestReadMs: 1 },
      quota: { bytes: 0, devices: 9 },
    },
    encode: encodeUsage,
    decode: decodeUsage,
  }),
  message("SESSION request", {
    value: hash(3).subarray(0, 16),
    encode: v4.encodeSessionId,
    decode: v4.decodeSessionId,
  }),
  message("SESSION answer", {
    value: { epoch: 4, expiresMs: 3_600_000 },
    encode: v4.encodeSessionGrant,
    decode: v4.decodeSessionGrant,
  }),
  message("HAS", {
    value: ids,
    encode: v4.encodeIds,
    decode: v4.decodeIds,
    shorter: [32, 64],
  }),
  message("STORED", {
    value: [1, 2, 0xffffffff],
    encode: v4.encodeStored,
    decode: v4.decodeStored,
    shorter: [0, 4, 8],
  }),
  message("MISSING", {
    value: { isCut: true, ids },
    encode: v4.encodeMissing,
    decode: v4.decodeMissing,
    shorter: [1, 33, 65],
  }),
  message("token", { value: hash(8), encode: login.encodeToken, decode: login.decodeToken }),
  message("INVITE", {
    value: { tokenHash: hash(1), expiresMs: 1_800_000_000_000, bundle: hash(4) },
    encode: v4.encodeInviteUpload,
    decode: v4.decodeInviteUpload,
    shorter: range(40, 72),
  }),
  message("JOIN", {
    value: { token: hash(1), statement: hash(4) },
    encode: login.encodeEnrolment,
    decode: login.decodeEnrolment,
    shorter: range(32, 64),
  }),
  message("PUT", {
    value: { id: hash(1), record: hash(4) },
    encode: v4.encodePut,
    decode: v4.decodePut,
    shorter: range(32, 64),
  }),
  message("RECORD", {
    value: { index: 8191, state: v4.RecordState.FOUND, record: hash(4) },
    encode: v4.encodeRecordAnswer,
    decode: v4.decodeRecordAnswer,
    shorter: range(5, 37),
  }),
  message("ERROR", {
    value: { code: v4.ErrorCode.FORBIDDEN, text: "Cannot read records: no permission" },
    encode: v4.encodeError,
    decode: v4.decodeError,
    shorter: range(2, 36),
  }),
];

for (const { name, value, bytes, decode } of MESSAGES) {
  Deno.test(`${name} comes back as it was`, () => assert.deepEqual(decode(bytes), value));
}

for (const { name, bytes, decode, shorter } of MESSAGES) {
  Deno.test(`${name} is rejected when cut short or followed by more`, () => {
    for (let size = 0; size < bytes.length; size++) {
      if (shorter.includes(size)) continue;
      assert.throws(() => decode(bytes.subarray(0, size)), isMalformed, `${size} bytes`);
    }
    if (shorter.length > 0) return;
    assert.throws(() => decode(Uint8Array.of(...bytes, 0)), isMalformed);
  });
}

Deno.test("decodeFrameHeader() rejects another version, unknown flags and a large payload", () => {
  const header = { flags: 0, code: 1100, requestId: 1, payloadBytes: 0 };
  const bytes = v4.encodeFrameHeader(header);
  const changed = (offset: number, value: number) => {
    const copy = bytes.slice();
    copy[offset] = value;
    return copy;
  };
  assert.throws(() => v4.decodeFrameHeader(changed(0, 3)), /version/);
  assert.throws(() => v4.decodeFrameHeader(changed(1, 2)), /flags/);
  assert.throws(() => v4.decodeFrameHeader(changed(11, 1)), RangeError);
  assert.throws(() => v4.encodeFrameHeader({ ...header, payloadBytes: 8388609 }), RangeError);
});

Deno.test("decodeIds() takes 1 to 8192 ids", () => {
  const many = new Uint8Array((WIRE.idsPerRequestMax + 1) * 32);
  assert.equal(v4.decodeIds(many.subarray(32)).length, WIRE.idsPerRequestMax);
  assert.throws(() => v4.decodeIds(many), RangeError);
  assert.throws(() => v4.decodeIds(new Uint8Array(0)), RangeError);
});

Deno.test("encodeBitmap() and decodeBitmap() match", () => {
  check(fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 70 }), (bits) => {
    assert.deepEqual(v4.decodeBitmap(v4.encodeBitmap(bits), bits.length), bits);
  }));
  assert.throws(() => v4.decodeBitmap(new Uint8Array(1), 9), TruncatedError);
  assert.throws(() => v4.decodeBitmap(new Uint8Array(2), 8), TruncatedError);
});

Deno.test("encodeUsage() gives the bytes of docs/protocol_v4.md, in its order", () => {
  const usage = {
    ...{ storedBytes: 1, records: 2, condemned: 3, damaged: 4, collectedMs: 5 },
    ...{ packs: 6, unread: 7, oldestReadMs: 2 ** 40 + 8, quota: { snapshots: 10, rate: 12 } },
  };
  // By Python's struct.
  const expected = [
    "0100000000000000020000000000000003000000000000000400000000000000",
    "0500000000000000060000000000000007000000000000000800000000010000",
    "0a00000000000000000a0000000000000000000000000000000c00000000000000",
  ];
  assert.equal(encodeUsage(usage).toHex(), expected.join(""));
});

Deno.test("encodeError() cuts a long text between characters", () => {
  const { text } = v4.decodeError(v4.encodeError({ code: 1, text: "x" + "ä".repeat(1000) }));
  assert.equal(text, "x" + "ä".repeat(511));
});

Deno.test("enumerated fields are checked", () => {
  assert.throws(() => login.decodeHello(new Uint8Array(17)), /kind/);
  assert.throws(() => v4.decodeRecordAnswer(Uint8Array.of(0, 0, 0, 0, 4)), /state/);
  assert.throws(() => v4.decodeMissing(Uint8Array.of(2)), RangeError);
  const usage = new Uint8Array(8 * 8 + 1 + 4 * 8);
  assert.deepEqual(decodeUsage(usage).quota, {});
  assert.throws(() => decodeUsage(usage.with(64, 16)), /over 15/);
  assert.throws(() => decodeUsage(usage.with(65, 1)), /bytes, and no flag/);
});

Deno.test("proveLogin() depends on secret, pin, id and nonce", () => {
  const challenge = { pin: hash(1), signer: hash(2).subarray(0, 16), nonce: hash(3) };
  const proof = proveLogin(hash(4), challenge);
  assert.equal(
    proof.toHex(),
    // HMAC-SHA-256 by Python's hmac over the same bytes.
    "5ae3ca9c840f62b0f31f795146ddb2fe4538d6ed606dbbae38fcf1e48ea3345b",
  );
  const others = [
    proveLogin(hash(5), challenge),
    proveLogin(hash(4), { ...challenge, pin: hash(9) }),
    proveLogin(hash(4), { ...challenge, signer: hash(9).subarray(0, 16) }),
    proveLogin(hash(4), { ...challenge, nonce: hash(9) }),
  ];
  for (const other of others) assert.notDeepEqual(other, proof);
});

function message<T>(
  name: string,
  { value, encode, decode, shorter = [] }: {
    value: T;
    encode: (value: T) => Uint8Array;
    decode: (bytes: Uint8Array) => T;
    /** Sizes at which a cut message is another good one. */
    shorter?: number[];
  },
) {
  return { name, value, bytes: encode(value), decode, shorter };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function isMalformed(error: unknown): boolean {
  return error instanceof TruncatedError || error instanceof RangeError;
}
