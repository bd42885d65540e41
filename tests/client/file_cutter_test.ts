import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { ContentReader, HOLE_BLOCK_BYTES } from "../../lib/client/content_reader.ts";
import { CUT_BUFFER_BYTES_MIN, FileCutter, type Part } from "../../lib/client/file_cutter.ts";
import { FILE_CHUNKS } from "../../lib/vault/chunker.ts";
import { withFolder } from "../folder.ts";
import { pseudoRandom } from "../vault/fixture.ts";

const BLOCK = HOLE_BLOCK_BYTES;
const TABLE = new Uint32Array(pseudoRandom(1024, 99).buffer);

Deno.test("FileCutter gives back the file, cut the same whatever its buffers", async () => {
  await withFolder((folder) => {
    const layouts: [number, number][][] = [
      [],
      [[0, 1]],
      [[0, 30 * BLOCK + 5]],
      [[3 * BLOCK, 2 * BLOCK], [7 * BLOCK + 1, 10], [40 * BLOCK, 25 * BLOCK]],
      [[BLOCK - 1, 2], [9 * BLOCK, BLOCK], [60 * BLOCK - 1, 1]],
    ];
    for (const [index, layout] of layouts.entries()) {
      for (const tail of [0, 1, BLOCK, 20 * BLOCK]) {
        const path = join(folder, `${index} ${tail}`);
        const bytes = makeFile(path, { layout, tail });
        const cuts = [CUT_BUFFER_BYTES_MIN, 3 * CUT_BUFFER_BYTES_MIN + 77].map((size) =>
          cutAll(path, { size, expected: bytes })
        );
        assert.deepEqual(cuts[0], cuts[1], `layout ${index}, tail ${tail}`);
      }
    }
    return Promise.resolve();
  });
});

Deno.test("FileCutter makes no chunk of zero blocks, and none that is too large", async () => {
  await withFolder((folder) => {
    const path = join(folder, "file");
    makeFile(path, { layout: [[8 * BLOCK, 40 * BLOCK]], tail: 3 * BLOCK });
    const parts = cutAll(path, { size: CUT_BUFFER_BYTES_MIN });
    assert.deepEqual(parts[0], { hole: 8 * BLOCK });
    assert.deepEqual(parts.at(-1), { hole: 3 * BLOCK });
    const chunks = parts.slice(1, -1) as number[];
    assert.ok(chunks.every((size) => size <= FILE_CHUNKS.max));
    assert.equal(chunks.reduce((sum, size) => sum + size, 0), 40 * BLOCK);
    return Promise.resolve();
  });
});

Deno.test("FileCutter takes no buffer that a chunk might fill, in which it would never end", async () => {
  await withFolder((folder) => {
    const path = join(folder, "file");
    makeFile(path, { layout: [[0, 100]], tail: 0 });
    using reader = new ContentReader(path, { isSparse: false });
    const cutter = new FileCutter(reader, { chunkTable: TABLE, sizeMax: Infinity });
    assert.throws(() => cutter.next(new Uint8Array(CUT_BUFFER_BYTES_MIN - 1)), RangeError);
    return Promise.resolve();
  });
});

Deno.test("FileCutter stops where it is told to", async () => {
  await withFolder((folder) => {
    const path = join(folder, "file");
    const bytes = makeFile(path, { layout: [[0, 10 * BLOCK]], tail: 0 });
    for (const sizeMax of [0, 1, BLOCK, 9 * BLOCK + 3]) {
      cutAll(path, { size: CUT_BUFFER_BYTES_MIN, sizeMax, expected: bytes.subarray(0, sizeMax) });
    }
    return Promise.resolve();
  });
});

/** Data at some places and of some lengths, zeros between and behind. */
function makeFile(
  path: string,
  { layout, tail }: { layout: [number, number][]; tail: number },
): Uint8Array {
  const last = layout.at(-1);
  const bytes = new Uint8Array((last === undefined ? 0 : last[0] + last[1]) + tail);
  const file = Deno.openSync(path, { write: true, create: true });
  for (const [offset, size] of layout) {
    const data = pseudoRandom(size, offset).map((byte) => byte | 1);
    bytes.set(data, offset);
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < data.length;) at += file.writeSync(data.subarray(at));
  }
  file.truncateSync(bytes.length);
  file.close();
  return bytes;
}

/** Sizes of chunks, and holes; joined holes are one. */
function cutAll(
  path: string,
  { size, sizeMax = Infinity, expected }: {
    size: number;
    sizeMax?: number;
    expected?: Uint8Array;
  },
): (number | Part)[] {
  const all: (number | { hole: number })[] = [];
  let at = 0;
  for (const isSparse of [false, true]) {
    all.length = at = 0;
    using reader = new ContentReader(path, { isSparse });
    const cutter = new FileCutter(reader, { chunkTable: TABLE, sizeMax });
    const buffer = new Uint8Array(size).fill(255);
    for (let parts; (parts = cutter.next(buffer)) !== undefined; buffer.fill(254, 0, 100)) {
      for (const part of parts) {
        const length = "hole" in part ? part.hole : part.end - part.start;
        const bytes = "hole" in part
          ? new Uint8Array(length)
          : buffer.subarray(part.start, part.end);
        if (expected !== undefined) {
          const right = expected.subarray(at, at + length);
          assert.ok(Buffer.compare(bytes, right) === 0, `at ${at} of ${expected.length}`);
        }
        const last = all.at(-1);
        if (!("hole" in part)) all.push(length);
        else if (typeof last === "object") last.hole += length;
        else all.push({ hole: length });
        at += length;
      }
    }
    if (expected !== undefined) assert.equal(at, expected.length);
  }
  return all;
}
