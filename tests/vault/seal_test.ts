import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { DamagedError } from "../../lib/errors.ts";
import { VAULT } from "../../lib/limits.ts";
import { encodeRecordHeader, recordId, RecordType } from "../../lib/record.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { Codec, compress, decompress } from "../../lib/vault/compress.ts";
import { padmeSize } from "../../lib/vault/padme.ts";
import { openRecord, padContent, unpadContent } from "../../lib/vault/seal.ts";
import { encryptChaCha, ZERO_NONCE } from "../../lib/vault/aead.ts";
import { check } from "../property.ts";
import { idOf, pseudoRandom, sealWhole } from "./fixture.ts";

const recordKey = new Uint8Array(32).fill(9);

Deno.test("padmeSize() keeps the sizes of the paper and never pads by more than 12 %", () => {
  for (const [size, padded] of [[0, 0], [1, 1], [9, 10], [100, 104], [1000, 1024], [8000, 8192]]) {
    assert.equal(padmeSize(size), padded);
  }
  check(fc.property(fc.nat({ max: 2 ** 30 }), (size) => {
    const padded = padmeSize(size);
    assert.ok(padded >= size && padded <= size * 1.12 + 1);
    assert.equal(padmeSize(padded), padded);
  }));
});

Deno.test("compress() decides by the contents and is undone by decompress()", () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat({ max: 300_000 }), (bytes, zeros) => {
      const content = concatBytes(bytes, new Uint8Array(zeros));
      const compressed = compress(content);
      assert.deepEqual(compress(content.slice()), compressed);
      assert.deepEqual(new Uint8Array(decompress(compressed)), content);
      if (compressed.codec === Codec.ZSTD) {
        assert.ok(compressed.bytes.length <= content.length * 0.97);
      } else assert.equal(compressed.bytes, content);
    }),
    50,
  );
});

Deno.test("compress() leaves random bytes raw and takes text", () => {
  assert.equal(compress(pseudoRandom(1 << 20, 1)).codec, Codec.RAW);
  assert.equal(compress(new TextEncoder().encode("hello ".repeat(100))).codec, Codec.ZSTD);
  assert.equal(compress(new Uint8Array(0)).codec, Codec.RAW);
});

Deno.test("compress() takes bytes that are spread unevenly, even without any repetition", () => {
  for (const values of [2, 16, 64, 100]) {
    const content = crypto.getRandomValues(new Uint8Array(65_536)).map((byte) => byte % values);
    const all = new Uint8Array(4 * content.length);
    for (let i = 0; i < 4; i++) all.set(content, i * content.length);
    const { codec, bytes } = compress(all);
    assert.equal(codec, Codec.ZSTD);
    assert.ok(bytes.length <= all.length * 0.97);
  }
});

Deno.test("decompress() stops at what a record can hold", () => {
  const bomb = compress(new Uint8Array(VAULT.plaintextBytesMax + 1));
  assert.equal(bomb.codec, Codec.ZSTD);
  assert.throws(() => decompress(bomb), DamagedError);
  assert.throws(() => decompress({ codec: Codec.ZSTD, bytes: Uint8Array.of(1, 2) }), DamagedError);
});

Deno.test("decompress() takes any zstd frame, whether it says its size or not; others may not share its buffer", () => {
  for (const size of [1, 200, 255, 256, 300, 65_791, 65_792, 300_000, VAULT.plaintextBytesMax]) {
    const content = new Uint8Array(size).map((_, i) => i % 7);
    const frames = [zstdCompressSync(content), zstdCompressSync(content, told(size))];
    for (const bytes of frames) {
      const plaintext = decompress({ codec: Codec.ZSTD, bytes });
      assert.equal(Buffer.compare(plaintext, content), 0);
      assert.ok(plaintext.buffer.byteLength === size || plaintext.buffer.byteLength > 8192);
    }
  }
  const frame = compress(new Uint8Array(300_000)).bytes.slice();
  for (let i = 4; i < 12; i++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const bytes = frame.with(i, value);
      try {
        assert.ok(decompress({ codec: Codec.ZSTD, bytes }).length <= VAULT.plaintextBytesMax);
      } catch (error) {
        assert.ok(error instanceof DamagedError);
      }
    }
  }
});

/** Has zstd say the size of the contents in the frame. */
function told(size: number): object {
  return { pledgedSrcSize: size };
}

Deno.test("sealRecord() gives equal contents the same record, and openRecord() opens it", () => {
  const types = fc.constantFrom(RecordType.SEGMENT, RecordType.LIST, RecordType.INDEX);
  const links = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 3 });
  check(
    fc.property(types, links, fc.uint8Array(), (type, links, plaintext) => {
      const sealed = sealWhole(recordKey, { type, links, plaintext });
      assert.deepEqual(sealed.id, recordId(sealed.record));
      const again = sealWhole(recordKey, { type, links, plaintext: plaintext.slice() });
      assert.deepEqual(again, sealed);
      const { release, ...opened } = openRecord(sealed.record, sealed);
      assert.deepEqual({ ...opened, plaintext: new Uint8Array(opened.plaintext) }, {
        ...{ type, links, plaintext },
      });
      release();
      assert.equal(opened.plaintext.length, 0);
      const other = sealWhole(idOf(1), { type, links, plaintext });
      assert.notDeepEqual(other.id, sealed.id);
      assert.throws(() => openRecord(sealed.record, { ...sealed, key: other.key }), DamagedError);
    }),
  );
});

Deno.test("no two contents share a key, also under equal headers", () => {
  const seal = (text: string) => {
    const plaintext = new TextEncoder().encode(text);
    return sealWhole(recordKey, { type: RecordType.DATA, links: [], plaintext });
  };
  const [a, b] = [seal("contents a"), seal("contents b")];
  assert.notDeepEqual(a.key, b.key);
});

Deno.test("the largest contents fit a record, with the most links too", () => {
  const plaintext = pseudoRandom(VAULT.plaintextBytesMax, 2);
  const sealed = sealWhole(recordKey, { type: RecordType.DATA, links: [], plaintext });
  assert.ok(sealed.record.length <= VAULT.recordBytesMax);
  const { plaintext: opened } = openRecord(sealed.record, sealed);
  assert.equal(Buffer.compare(opened, plaintext), 0);
  assert.throws(() => padContent(new Uint8Array(VAULT.plaintextBytesMax + 1)), RangeError);
});

for (const [name, type] of Object.entries(RecordType)) {
  if (type === RecordType.SESSION || type === RecordType.ROOT) continue; // have their own tests
  Deno.test(`openRecord() rejects every flipped byte of a ${name} record`, () => {
    const links = type === RecordType.DATA ? [] : [idOf(1)];
    const plaintext = new TextEncoder().encode("some contents");
    const { record, id, key } = sealWhole(recordKey, { type, links, plaintext });
    for (let i = 0; i < record.length; i++) {
      const flipped = record.slice();
      flipped[i] ^= 1 << (i % 8);
      assert.throws(() => openRecord(flipped, { id, key }), /other bytes/);
      // Even if the id is taken from the false bytes.
      assert.throws(() => openRecord(flipped, { id: recordId(flipped), key }), DamagedError);
    }
    for (let size = 0; size < record.length; size++) {
      const cut = record.subarray(0, size);
      assert.throws(() => openRecord(cut, { id: recordId(cut), key }), DamagedError);
    }
  });
}

Deno.test("openRecord() rejects contents that sealRecord() would not make", () => {
  const header = encodeRecordHeader({ type: RecordType.DATA, links: [] });
  const right = padContent(crypto.getRandomValues(new Uint8Array(1000))); // with padding
  assert.equal(right.length, 1024);
  const key = idOf(5);
  const wrong: [RegExp, Uint8Array][] = [
    [/codec/, Uint8Array.of(2, ...right.subarray(1))],
    [/padding/, concatBytes(right, new Uint8Array(64))],
    [/not zero/, Uint8Array.of(...right.subarray(0, -1), 1)],
    [/cut short/, Uint8Array.of(0, 0xff, 0xff, 0xff, 0x7f)],
    [/decompress/, Uint8Array.of(1, 4, 0, 0, 0, 1, 2, 3, 4, 0)],
  ];
  for (const [message, padded] of wrong) {
    const fields = { nonce: ZERO_NONCE, covered: header, parts: [padded] };
    const record = concatBytes(header, ...encryptChaCha(key, fields));
    assert.throws(() => openRecord(record, { id: recordId(record), key }), message);
  }
  assert.throws(() => unpadContent(new Uint8Array(0)), DamagedError);
});
