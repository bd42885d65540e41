import assert from "node:assert/strict";
import fc from "fast-check";
import { DamagedError } from "../lib/errors.ts";
import { VAULT } from "../lib/limits.ts";
import {
  decodeRecord,
  encodeRecordHeader,
  headerSize,
  RECORD_VERSION,
  recordId,
  RecordType,
} from "../lib/record.ts";
import { concatBytes } from "../lib/bytes.ts";
import { check } from "./property.ts";

const link = fc.uint8Array({ minLength: 32, maxLength: 32 });
const body = fc.uint8Array({ minLength: 16, maxLength: 100 });

Deno.test("recordId() is the SHA-256 of the whole record", () => {
  const id = recordId(new TextEncoder().encode("abc")); // FIPS 180-4, example
  assert.equal(id.toHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

Deno.test("encodeRecordHeader() gives version, type, number of links and links", () => {
  const links = [new Uint8Array(32).fill(0xaa), new Uint8Array(32).fill(0xbb)];
  const header = encodeRecordHeader({ type: RecordType.SEGMENT, links });
  assert.equal(header.toHex(), "02030200" + "aa".repeat(32) + "bb".repeat(32));
  assert.equal(header.length, headerSize(2));
});

Deno.test("decodeRecord() takes apart what was put together", () => {
  check(fc.property(
    fc.constantFrom(RecordType.LIST, RecordType.SEGMENT, RecordType.INDEX, RecordType.ROOT),
    fc.array(link, { maxLength: 20 }),
    body,
    (type, links, body) => {
      const header = encodeRecordHeader({ type, links });
      const decoded = decodeRecord(concatBytes(header, body));
      assert.equal(decoded.type, type);
      assert.deepEqual(decoded.links, links);
      assert.deepEqual(decoded.header, new Uint8Array(header));
      assert.deepEqual(decoded.body, body);
    },
  ));
});

Deno.test("decodeRecord() rejects every truncation", () => {
  const links = [new Uint8Array(32), new Uint8Array(32).fill(1)];
  const header = encodeRecordHeader({ type: RecordType.INDEX, links });
  const record = concatBytes(header, new Uint8Array(16));
  decodeRecord(record);
  for (let size = 0; size < record.length; size++) {
    assert.throws(() => decodeRecord(record.subarray(0, size)), DamagedError);
  }
});

Deno.test("decodeRecord() rejects unknown versions and types", () => {
  const record = concatBytes(
    encodeRecordHeader({ type: RecordType.DATA, links: [] }),
    new Uint8Array(16),
  );
  for (let value = 0; value < 256; value++) {
    const version = record.slice();
    version[0] = value;
    if (value !== 2) assert.throws(() => decodeRecord(version), /version/);
    const type = record.slice();
    type[1] = value;
    if (value < 1 || value > 6) assert.throws(() => decodeRecord(type), /type/);
  }
});

Deno.test("decodeRecord() rejects links of data and session records", () => {
  for (const type of [RecordType.DATA, RecordType.SESSION]) {
    assert.throws(() => encodeRecordHeader({ type, links: [new Uint8Array(32)] }), RangeError);
    const record = new Uint8Array(100);
    record.set([RECORD_VERSION, type, 1, 0]);
    assert.throws(() => decodeRecord(record), /1 links/);
  }
});

Deno.test("decodeRecord() holds to the bounds", () => {
  const largest = new Uint8Array(VAULT.recordBytesMax);
  largest.set([RECORD_VERSION, RecordType.DATA]);
  decodeRecord(largest);
  const larger = new Uint8Array(VAULT.recordBytesMax + 1);
  larger.set([RECORD_VERSION, RecordType.DATA]);
  assert.throws(() => decodeRecord(larger), /at most/);

  const links = new Array(VAULT.linksMax).fill(new Uint8Array(32));
  const header = encodeRecordHeader({ type: RecordType.SEGMENT, links });
  decodeRecord(concatBytes(header, new Uint8Array(16)));
  assert.throws(
    () => encodeRecordHeader({ type: RecordType.SEGMENT, links: [...links, new Uint8Array(32)] }),
    RangeError,
  );
  const many = new Uint8Array(headerSize(VAULT.linksMax + 1) + 16);
  many.set([RECORD_VERSION, RecordType.SEGMENT, 0x01, 0x20]);
  assert.throws(() => decodeRecord(many), /8193 links/);
});
