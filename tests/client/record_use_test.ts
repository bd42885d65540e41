import assert from "node:assert/strict";
import { RecordUse } from "../../lib/client/record_use.ts";
import type { Entry } from "../../lib/vault/entry.ts";
import { entryOf, referenceOf } from "../vault/fixture.ts";

Deno.test("RecordUse finds records of which under half is in use, up to a number of bytes", () => {
  const use = new RecordUse({ pattern: 0 });
  for (
    const entry of [
      ...[small(1, 0, 100), small(1, 100, 100)], // all of it
      ...[small(2, 0, 100), small(2, 900, 10)], // little of it
      ...[small(3, 500, 400)],
      ...[small(4, 9000, 10)],
      entryOf("/large", { size: 300_000, extents: [extent(5, 0, 300_000)] }),
      entryOf("/empty"),
    ]
  ) {
    use.add(entry);
  }
  assert.deepEqual(use.sparse(1000), [2, 3, 4].map((number) => referenceOf(number).id));
  assert.deepEqual(use.sparse(120), [2, 4].map((number) => referenceOf(number).id));
  assert.deepEqual(use.sparse(0), []);
});

Deno.test("RecordUse watches a part of very many records, another each time", () => {
  const seen = new Set<string>();
  for (let pattern = 0; pattern < 64; pattern++) {
    const use = new RecordUse({ pattern, max: 50 });
    for (let i = 0; i < 500; i++) use.add(small(i, 900, 10));
    const ids = use.sparse(Infinity);
    assert.ok(ids.length > 5 && ids.length <= 50, `${ids.length}`);
    for (const id of ids) seen.add(id.toHex());
  }
  assert.equal(seen.size, 500);
});

function small(record: number, offset: number, length: number): Entry {
  return entryOf(`/${record}`, { size: length, extents: [extent(record, offset, length)] });
}

function extent(record: number, offset: number, length: number) {
  return { reference: referenceOf(record), offset, length };
}
