import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeFiles, encodeFiles } from "../../lib/client/file_list.ts";
import { encodeResults, type FileResult, resultAt } from "../../lib/client/file_results.ts";
import { JobOutcomes } from "../../lib/client/job_outcomes.ts";
import { LinkedFiles } from "../../lib/client/linked_files.ts";
import type { EntryState } from "../../lib/client/file_state.ts";
import { check } from "../property.ts";

const SESSION = new Uint8Array(32).fill(7);
const STATE: EntryState = {
  ...{ size: 3, mode: 0o644, uid: 1, gid: 2, mtimeMs: -5, ctimeMs: 6, inode: 7, nlink: 1 },
};

const extents = fc.array(
  fc.oneof(
    fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 4_000_000 })),
    fc.tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
  ),
  { maxLength: 3 },
);
const results: fc.Arbitrary<FileResult> = fc.record({
  extents,
  state: fc.constant(STATE),
  isTorn: fc.constant(true),
  fault: fc.constant("it is gone"),
}, { requiredKeys: ["extents"], noNullPrototype: true });

Deno.test("what became of files is the same after it was copied from one thread to another", () => {
  check(fc.property(fc.array(results), (all) => {
    const copied = structuredClone(encodeResults(all));
    assert.deepEqual(all.map((_, number) => resultAt(copied, number)), all);
    assert.throws(() => resultAt(copied, all.length), RangeError);
  }));
});

Deno.test("a file to read is the same after it was copied from one thread to another", () => {
  const number = fc.maxSafeInteger();
  const files = fc.array(fc.record({
    path: fc.string({ unit: "grapheme" }).map((name) => "/" + name.replaceAll("\0", "")),
    size: fc.maxSafeNat(),
    mtimeMs: number,
    ctimeMs: number,
    inode: fc.maxSafeNat(),
    allocatedBytes: fc.oneof(fc.maxSafeNat(), fc.constant(Infinity)),
  }, { noNullPrototype: true }));
  check(fc.property(files, (all) => {
    const scanned = all.map(({ allocatedBytes, path, ...state }) => ({
      entry: { ...STATE, path, type: "file" as const, ...state },
      ...{ device: 1, allocatedBytes },
    }));
    const expected = all.map(({ allocatedBytes, ...file }) => {
      return { ...file, isSparse: allocatedBytes < file.size };
    });
    assert.deepEqual(decodeFiles(structuredClone(encodeFiles(scanned))), expected);
  }));
});

Deno.test("outcomes of a job: contents with references, a hole, another state, a fault", async () => {
  const job = new JobOutcomes();
  assert.equal(job.isDone, false);
  assert.throws(() => job.at(0), RangeError);
  const references = [1, 2].map((byte) => {
    return { id: new Uint8Array(32).fill(byte), maskedKey: new Uint8Array(32).fill(byte + 10) };
  });
  const files = encodeResults([
    { extents: [[1, 5, 10]] },
    { extents: [[100], [0, 0, 3]], state: STATE, isTorn: true },
    { extents: [] },
    { extents: [[0, 1, 2]], fault: "it is gone" },
  ]);
  job.settle({ references, files, bytesRead: 0 }, SESSION);
  await job.done;
  const [first, second] = references.map((reference) => ({ ...reference, session: SESSION }));
  assert.deepEqual(job.at(0), {
    contents: { size: 10, extents: [{ reference: second, offset: 5, length: 10 }] },
  });
  assert.deepEqual(job.at(1), {
    contents: {
      size: 103,
      extents: [{ offset: 0, length: 100 }, { reference: first, offset: 0, length: 3 }],
    },
    ...{ state: STATE, isTorn: true },
  });
  assert.deepEqual(job.at(2), { contents: { size: 0, extents: [] } });
  assert.deepEqual(job.at(3), { fault: "it is gone" });
  // Files of one record name it with one object, by which a record of text knows it again.
  const reference = (number: number) => job.at(number).contents!.extents!.at(-1)!.reference;
  assert.equal(reference(0), reference(0));
});

Deno.test("whoever waits for a job that fails is told", async () => {
  const job = new JobOutcomes();
  const error = new Error("the worker is gone");
  job.fail(error);
  await assert.rejects(job.done, error);
  assert.equal(job.isDone, false);
});

Deno.test("a file with several names is read once, and does not keep what became of others", async () => {
  const linked = new LinkedFiles();
  const job = new JobOutcomes();
  const entry = { ...STATE, path: "/a", type: "file" as const, nlink: 3 };
  const scanned = { entry, device: 1, allocatedBytes: 4096 };
  let reads = 0;
  const get = () =>
    linked.get(scanned, () => {
      reads++;
      return { job, number: 1 };
    });
  const reading = get();
  assert.deepEqual(get(), reading); // before it is read
  const references = [{ id: new Uint8Array(32), maskedKey: new Uint8Array(32) }];
  const files = encodeResults([{ extents: [[0, 7, 3]] }, { extents: [[0, 10, 90]] }]);
  job.settle({ references, files, bytesRead: 0 }, SESSION);
  await job.done;
  const last = get();
  assert.equal(reads, 1);
  assert.notEqual(last.job, job);
  assert.deepEqual(last.job.at(last.number), reading.job.at(reading.number));
  get();
  assert.equal(reads, 2); // there were all of its names
});
