/** A store with one pack that has parity, and what may become of a pack. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { equalBytes } from "../../lib/bytes.ts";
import { RecordType } from "../../lib/record.ts";
import { makeRecord, type TestRecord } from "./fixture.ts";
import { type StoreBench, withStoreBench } from "./store_bench.ts";

/** A store with parity, and one pack of some records that a snapshot needs. */
export async function withPack(
  test: (bench: StoreBench, pack: { records: TestRecord[]; path: string }) => Promise<void>,
): Promise<void> {
  await withStoreBench(async (bench) => {
    bench.parityPercent = 10;
    await bench.crash();
    const device = await bench.member();
    const data = Array.from({ length: 40 }, () => makeRecord(RecordType.DATA, [], 9000));
    const records = [...data, makeRecord(RecordType.ROOT, data)];
    await device.put(...records);
    assert.equal(await device.commit(records.at(-1)!), 0);
    await device.close();
    await test(bench, { records, path: join(bench.packsPath, bench.packNames[0]) });
  });
}

export const parityPath = (bench: StoreBench) =>
  join(bench.folder, "parity", bench.vault.id.toHex(), bench.packNames[0]);

export function change(path: string, make: (bytes: Uint8Array) => Uint8Array): void {
  Deno.writeFileSync(path, make(Deno.readFileSync(path)));
}

export const flip = (at: number) => (bytes: Uint8Array) => {
  bytes[at] ^= 4;
  return bytes;
};
export const zeros = (at: number) => (bytes: Uint8Array) => bytes.fill(0, at, at + 4096);
export const cut = (size: number) => (bytes: Uint8Array) => bytes.subarray(0, bytes.length - size);
export const longer = (bytes: Uint8Array) => new Uint8Array([...bytes, 1, 2, 3]);

export function scrubAll(bench: StoreBench) {
  bench.clock.shiftMs += 60_000;
  return bench.scrub(bench.clock.wall());
}

export function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

export function assertSame(path: string, bytes: Uint8Array): void {
  assert.ok(equalBytes(Deno.readFileSync(path), bytes), "the pack is what it was");
}
