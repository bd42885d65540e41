import assert from "node:assert/strict";
import { join } from "node:path";
import { DamagedError } from "../../lib/errors.ts";
import { RecordType } from "../../lib/record.ts";
import { EntryStamps } from "../../lib/vault/entry_stamps.ts";
import { KeptFile, type KeptSegment, KeptWriter } from "../../lib/client/kept_file.ts";
import { KeptRecorder } from "../../lib/client/kept_recorder.ts";
import { KeptStore } from "../../lib/client/kept_store.ts";
import { encodeEntry } from "../../lib/vault/entry.ts";
import { ReferenceTable } from "../../lib/vault/reference_table.ts";
import { withFolder } from "../folder.ts";
import { entryOf, idOf, pseudoRandom, referenceOf } from "../vault/fixture.ts";

const KEY = idOf(1);
const NAME = "/home/ada/a name that nobody must read";
const HEAD = {
  ...{ root: idOf(9), startMs: 7, entries: 3, bytes: 5 },
  ...{ indexes: [referenceOf(4, 5)], sparse: [idOf(6)] },
};

function segments(): KeptSegment[] {
  return [1, 2, 3].map((n) => {
    const line = encodeEntry(entryOf(`${NAME} ${n}`, { mtimeMs: n }), new ReferenceTable());
    const plaintext = new TextEncoder().encode(`the references\n${line}\n`);
    const content = { type: RecordType.SEGMENT, links: [idOf(n, 7)], plaintext };
    return { reference: referenceOf(n), content, stamps: EntryStamps.of(plaintext) };
  });
}

function write(path: string): Uint8Array<ArrayBuffer> {
  const writer = new KeptWriter(path, KEY);
  for (const { reference, content } of segments()) writer.addSegment({ reference, content });
  writer.finish(HEAD);
  return Deno.readFileSync(path);
}

/** Undefined if it is as if it were not there. */
function read(path: string, key = KEY): KeptSegment[] | undefined {
  using kept = KeptFile.open(path, key);
  if (kept === undefined) return undefined;
  assert.deepEqual(kept.head, HEAD);
  return [...kept.segments()];
}

Deno.test("kept entries come back with their key, and without it nobody reads a name", async () => {
  await withFolder((folder) => {
    const path = join(folder, "kept");
    const bytes = write(path);
    assert.deepEqual(read(path), segments());
    const stampBytes = (list: KeptSegment[]) => list.map(({ stamps }) => stamps?.bytes.toHex());
    assert.deepEqual(stampBytes(read(path)!), stampBytes(segments()));
    assert.equal(new Set(stampBytes(segments())).size, 3);
    assert.equal(read(path, idOf(2)), undefined);
    assert.ok(!new TextDecoder("latin1").decode(bytes).includes("ada"));
    // Equal contents of two files look different.
    const again = write(path);
    assert.notDeepEqual(again.subarray(40, 80), bytes.subarray(40, 80));
    return Promise.resolve();
  });
});

Deno.test("kept entries that were changed, cut or mixed are damaged or not there", async () => {
  await withFolder((folder) => {
    const path = join(folder, "kept");
    const bytes = write(path);
    const isRefused = () => {
      try {
        return read(path) === undefined;
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        return true;
      }
    };
    for (let i = 0; i < bytes.length; i++) {
      const flipped = bytes.slice();
      flipped[i] ^= 1;
      Deno.writeFileSync(path, flipped);
      assert.ok(isRefused(), `byte ${i}`);
    }
    for (let size = 0; size < bytes.length; size += 7) {
      Deno.writeFileSync(path, bytes.subarray(0, size));
      assert.ok(isRefused(), `${size} bytes`);
    }
    const start = 16 + 16;
    const blockBytes = 4 + new DataView(bytes.buffer).getUint32(start, true);
    const swapped = bytes.slice();
    swapped.set(bytes.subarray(start, start + blockBytes), start + blockBytes);
    swapped.set(bytes.subarray(start + blockBytes, start + 2 * blockBytes), start);
    Deno.writeFileSync(path, swapped);
    assert.ok(isRefused(), "two blocks in another order");
    const other = write(path);
    other.set(bytes.subarray(start, start + blockBytes), start);
    Deno.writeFileSync(path, other);
    assert.ok(isRefused(), "a block of another file");
    Deno.writeFileSync(path, pseudoRandom(500, 1));
    assert.ok(isRefused());
    return Promise.resolve();
  });
});

Deno.test("nothing is written where all segments are those of the last snapshot; otherwise all are", async () => {
  await withFolder((folder) => {
    const place = { vaultId: idOf(1), writeSecret: idOf(2), setLabel: idOf(3) };
    const store = new KeptStore({ profilePath: folder, ...place });
    const record = (numbers: (number | undefined)[], sparse: Uint8Array[] = []) => {
      using last = store.open();
      using recorder = new KeptRecorder(store, { isWritable: true, last });
      for (const number of numbers) recorder.addSegment(segments()[number ?? 0], number);
      const path = recorder.finish({ ...HEAD, sparse });
      if (path !== undefined) store.replace(path);
      return path;
    };
    const stored = () => {
      using kept = store.open();
      return [...kept!.segments()];
    };
    assert.ok(record([undefined, 1, 2]), "there is nothing yet");
    assert.deepEqual(stored(), segments());
    assert.equal(record([0, 1, 2]), undefined);
    assert.deepEqual(stored(), segments());
    assert.ok(record([0, 1, 2], [idOf(4)]), "records that are to be watched");
    assert.ok(record([0, 1, 2]), "and no longer");
    assert.ok(record([0, 1]), "one less");
    assert.deepEqual(stored(), segments().slice(0, 2));
    assert.ok(record([0, 1, undefined]), "one more");
    assert.deepEqual(stored(), [...segments().slice(0, 2), segments()[0]]);
    assert.ok(record([1, 0]), "in another order");
    assert.deepEqual(stored(), [segments()[1], segments()[0]]);
    return Promise.resolve();
  });
});
