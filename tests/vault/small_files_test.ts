import assert from "node:assert/strict";
import {
  endsRecord,
  overflowsRecord,
  SMALL_RECORD_BYTES_MAX,
} from "../../lib/vault/small_files.ts";
import { deriveWriteKeys } from "../../lib/vault/secrets.ts";
import { pseudoRandom } from "./fixture.ts";

const { pathTable } = deriveWriteKeys(new Uint8Array(32).fill(3));

/** Records of files, each as the numbers of its files. */
function pack(files: { number: number; bytes: Uint8Array }[]): { files: number[]; size: number }[] {
  const records = [{ files: [] as number[], size: 0 }];
  for (const { number, bytes } of files) {
    if (overflowsRecord(records.at(-1)!.size, bytes.length)) records.push({ files: [], size: 0 });
    const record = records.at(-1)!;
    record.files.push(number);
    record.size += bytes.length;
    const fields = { recordBytes: record.size, file: bytes };
    if (endsRecord(pathTable, fields)) records.push({ files: [], size: 0 });
  }
  return records;
}

for (
  const [name, sizeOf] of [
    ["1 KiB", () => 1024],
    ["14 KiB", (n: number) => (n * 7919) % 28_000],
    ["200 KiB", () => 200 * 1024],
  ] as [string, (n: number) => number][]
) {
  Deno.test(`records of files of ${name} are about 256 KiB large`, () => {
    const count = 60_000_000 / (sizeOf(1) + sizeOf(2) + sizeOf(3)) * 3;
    const files = Array.from({ length: Math.ceil(count) }, (_, number) => {
      return { number, bytes: pseudoRandom(sizeOf(number), number) };
    });
    const sizes = pack(files).map(({ size }) => size / 1024);
    const average = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    assert.ok(average > 180 && average < 420, `${average} KiB`);
    assert.ok(Math.max(...sizes) * 1024 <= SMALL_RECORD_BYTES_MAX);
  });
}

Deno.test("a file added at the front changes few records", () => {
  const files = Array.from({ length: 3000 }, (_, number) => {
    return { number, bytes: pseudoRandom((number * 7919) % 20_000, number) };
  });
  const before = new Set(pack(files).map(({ files }) => files.join()));
  const after = pack([{ number: -1, bytes: pseudoRandom(5000, 99_999) }, ...files]);
  const changed = after.filter(({ files }) => !before.has(files.join())).length;
  assert.ok(changed <= 6, `${changed} of ${after.length}`);
});

Deno.test("files that are all the same still end records", () => {
  const bytes = pseudoRandom(10_000, 1);
  const records = pack(Array.from({ length: 1000 }, (_, number) => ({ number, bytes })));
  assert.ok(Math.max(...records.map(({ size }) => size)) <= SMALL_RECORD_BYTES_MAX);
});
