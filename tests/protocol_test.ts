import assert from "node:assert/strict";
import fc from "fast-check";
import { TruncatedError } from "../lib/bytes.ts";
import * as protocol from "../lib/protocol.ts";
import { check } from "./property.ts";

const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
const u8 = fc.nat({ max: 0xff });
const u16 = fc.nat({ max: 0xffff });
const u32 = fc.nat({ max: 0xffffffff });

/** Every message: how many bytes it has, what it is made of, and its two halves. */
const CODECS: {
  name: string;
  size: number;
  message: fc.Arbitrary<unknown>;
  // deno-lint-ignore no-explicit-any -- each row has messages of its own type
  encode: (message: any) => Uint8Array;
  decode: (bytes: Uint8Array) => unknown;
}[] = [
  {
    name: "RequestHeader",
    size: 23,
    message: fc.record({ clientId: bytes(16), version: u8, code: u16, payloadBytes: u32 }),
    encode: protocol.encodeRequestHeader,
    decode: protocol.decodeRequestHeader,
  },
  {
    name: "ResponseHeader",
    size: 7,
    message: fc.record({ version: u8, code: u16, payloadBytes: u32 }),
    encode: protocol.encodeResponseHeader,
    decode: protocol.decodeResponseHeader,
  },
  {
    name: "PublicKeyPayload",
    size: 415,
    message: fc.record({ nameField: bytes(255), publicKey: bytes(160) }),
    encode: protocol.encodePublicKeyPayload,
    decode: protocol.decodePublicKeyPayload,
  },
  {
    name: "FilePrefix",
    size: 259,
    message: fc.record({ contentBytes: u32, nameField: bytes(255) }),
    encode: protocol.encodeFilePrefix,
    decode: protocol.decodeFilePrefix,
  },
  {
    name: "KeyPayload",
    size: 144,
    message: fc.record({ clientId: bytes(16), encryptedKey: bytes(128) }),
    encode: protocol.encodeKeyPayload,
    decode: protocol.decodeKeyPayload,
  },
  {
    name: "FileReceipt",
    size: 279,
    message: fc.record({
      clientId: bytes(16),
      contentBytes: u32,
      nameField: bytes(255),
      checksum: u32,
    }),
    encode: protocol.encodeFileReceipt,
    decode: protocol.decodeFileReceipt,
  },
];

for (const { name, size, message, encode, decode } of CODECS) {
  Deno.test(`${name} has ${size} bytes and survives a round trip`, () => {
    check(fc.property(message, (message) => {
      const encoded = encode(message);
      assert.equal(encoded.length, size);
      assert.deepEqual({ ...decode(encoded) as object }, { ...message as object });
    }));
  });

  Deno.test(`decode${name}() rejects every other length`, () => {
    const full = new Uint8Array(size + 1);
    for (let length = 0; length <= size + 1; length++) {
      if (length === size) continue;
      assert.throws(() => decode(full.subarray(0, length)), TruncatedError);
    }
  });

  Deno.test(`encode${name}() and decode${name}() are each other's opposite on any bytes`, () => {
    check(fc.property(bytes(size), (input) => {
      assert.deepEqual(encode(decode(input)), input);
    }));
  });
}

Deno.test("encodeRequest() gives the bytes that a client of the course sends", () => {
  const clientId = Uint8Array.fromHex("00112233445566778899aabbccddeeff");
  const payload = protocol.encodeName("alice");
  const message = protocol.encodeRequest(protocol.RequestCode.RECONNECT, { clientId, payload });
  // id, version 3, code 1027, payload size 255, all little-endian
  const expected = "00112233445566778899aabbccddeeff" + "03" + "0304" + "ff000000" + "616c696365" +
    "00".repeat(250);
  assert.equal(message.toHex(), expected);
});

Deno.test("encodeResponse() gives the bytes that a server of the course sends", () => {
  const id = Uint8Array.fromHex("00112233445566778899aabbccddeeff");
  const confirmed = protocol.encodeResponse(protocol.ResponseCode.CONFIRMED, id);
  assert.equal(confirmed.toHex(), "03" + "3808" + "10000000" + "00112233445566778899aabbccddeeff");
  const failed = protocol.encodeResponse(protocol.ResponseCode.SERVER_ERROR);
  assert.equal(failed.toHex(), "03" + "3b08" + "00000000");
});

Deno.test("decodeName() cuts at the first NUL and does not look at what follows", () => {
  const field = new Uint8Array(255).fill(0xff);
  field.set(new TextEncoder().encode("notes.txt\0"));
  assert.equal(protocol.decodeName(field), "notes.txt");
});

Deno.test("decodeName() accepts a field without NUL", () => {
  assert.equal(protocol.decodeName(new Uint8Array(255).fill(0x61)), "a".repeat(255));
});

Deno.test("decodeName() rejects bytes that are not UTF-8", () => {
  assert.throws(() => protocol.decodeName(new Uint8Array(255).fill(0xc3)), TypeError);
});

Deno.test("encodeName() and decodeName() keep every name that fits", () => {
  const name = fc.string({ unit: "grapheme", maxLength: 60 })
    .filter((text) => text.isWellFormed() && !text.includes("\0"))
    .filter((text) => new TextEncoder().encode(text).length <= 254);
  check(fc.property(name, (name) => {
    assert.equal(protocol.decodeName(protocol.encodeName(name)), name);
  }));
});

Deno.test("encodeName() rejects what does not fit", () => {
  assert.throws(() => protocol.encodeName("a".repeat(255)), RangeError);
  assert.throws(() => protocol.encodeName("a\0b"), RangeError);
});

Deno.test("cipherSize() always leaves room for the padding", () => {
  assert.deepEqual([0, 1, 15, 16, 17, 32].map(protocol.cipherSize), [16, 16, 16, 32, 32, 48]);
});
