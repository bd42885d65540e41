/** What every implementation of `BlobStore` must do. */
import assert from "node:assert/strict";
import { type BlobStore, putBlob, readBlob } from "../lib/blobs.ts";
import { equalBytes } from "../lib/bytes.ts";
import { pseudoRandom } from "./vault/fixture.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Registers the tests of one implementation; `open` gives an empty store to a test. */
export function testBlobStore(
  implementation: string,
  open: (test: (blobs: BlobStore) => Promise<void>) => Promise<void>,
): void {
  const testCase = (name: string, test: (blobs: BlobStore) => Promise<void>) =>
    Deno.test(`${implementation} ${name}`, () => open(test));

  testCase("gives back what was put, whole and in ranges", async (blobs) => {
    await put(blobs, "a/one", "hello ", "world");
    assert.equal(await text(blobs, "a/one", 0, 100), "hello world");
    assert.equal(await text(blobs, "a/one", 6, 3), "wor");
    assert.equal(await text(blobs, "a/one", 9, 5), "ld");
    assert.equal(await text(blobs, "a/one", 50, 5), "");
    assert.equal(await blobs.size("a/one"), 11);
  });

  testCase("takes large writes, one behind the other", async (blobs) => {
    const whole = pseudoRandom(400_001, 1);
    const writer = await blobs.create("a/one");
    for (const [start, end] of [[0, 1], [1, 300_000], [300_000, 400_001]]) {
      await writer.write(whole.subarray(start, end));
    }
    await writer.finish();
    const read = await readBlob(blobs, "a/one", whole.length);
    assert.ok(read !== undefined && equalBytes(read, whole));
  });

  testCase("says that nothing is there", async (blobs) => {
    assert.equal(await blobs.read("a/one", 0, new Uint8Array(1)), undefined);
    assert.equal(await blobs.size("a/one"), undefined);
    assert.deepEqual(await list(blobs, "a"), []);
    await blobs.delete("a/one");
  });

  testCase("shows nothing before it is finished, and nothing after abort()", async (blobs) => {
    const writer = await blobs.create("a/one");
    await writer.write(bytes("hello"));
    assert.equal(await blobs.size("a/one"), undefined);
    assert.deepEqual(await list(blobs, "a"), []);
    await writer.abort();
    assert.equal(await blobs.size("a/one"), undefined);
    await put(blobs, "a/one", "again");
    assert.equal(await text(blobs, "a/one", 0, 10), "again");
  });

  testCase("replaces and deletes", async (blobs) => {
    await put(blobs, "a/one", "first");
    await put(blobs, "a/one", "second");
    assert.equal(await text(blobs, "a/one", 0, 10), "second");
    await blobs.delete("a/one");
    await blobs.delete("a/one");
    assert.equal(await blobs.size("a/one"), undefined);
  });

  testCase("lists each folder with sizes", async (blobs) => {
    await put(blobs, "a/one", "1");
    await put(blobs, "a/two", "22");
    await put(blobs, "b/one", "333");
    assert.deepEqual(await list(blobs, "a"), [{ name: "a/one", size: 1 }, {
      name: "a/two",
      size: 2,
    }]);
    assert.deepEqual(await list(blobs, "b"), [{ name: "b/one", size: 3 }]);
    const folders: string[] = [];
    for await (const folder of blobs.listFolders()) folders.push(folder);
    assert.deepEqual(folders.sort(), ["a", "b"]);
  });

  testCase("sweeps what was left by a crash", async (blobs) => {
    await put(blobs, "a/one", "1");
    const left = await blobs.create("a/two");
    await blobs.sweep();
    await assert.rejects(left.finish());
    assert.deepEqual(await list(blobs, "a"), [{ name: "a/one", size: 1 }]);
  });

  testCase("gives whole blobs by putBlob() and readBlob()", async (blobs) => {
    await putBlob(blobs, "a/one", bytes("hello"));
    assert.deepEqual(await readBlob(blobs, "a/one", 5), bytes("hello"));
    assert.equal(await readBlob(blobs, "a/one", 4), undefined);
    assert.equal(await readBlob(blobs, "a/two", 5), undefined);
  });

  testCase("takes no name that leads elsewhere", async (blobs) => {
    for (const name of ["", "a", "a/b/c", "../x", "a/..", "a/.", "a/B", "/a", "a/b.tmp"]) {
      await assert.rejects(blobs.create(name), RangeError, name);
      await assert.rejects(blobs.size(name), RangeError, name);
    }
  });
}

async function put(blobs: BlobStore, name: string, ...pieces: string[]): Promise<void> {
  const writer = await blobs.create(name);
  for (const piece of pieces) await writer.write(bytes(piece));
  await writer.finish();
}

async function text(
  blobs: BlobStore,
  name: string,
  offset: number,
  size: number,
): Promise<string | undefined> {
  const target = new Uint8Array(size);
  const count = await blobs.read(name, offset, target);
  return new TextDecoder().decode(target.subarray(0, count));
}

async function list(blobs: BlobStore, folder: string): Promise<{ name: string; size: number }[]> {
  const found = [];
  for await (const blob of blobs.list(folder)) found.push(blob);
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}
