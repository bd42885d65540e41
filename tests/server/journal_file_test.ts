import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { DamagedError } from "../../lib/errors.ts";
import { JournalFile, type StoredEvent } from "../../lib/server/journal_file.ts";
import { withFolder } from "../folder.ts";
import { random } from "./fixture.ts";

const vaultId = new Uint8Array(32).fill(3);
const events = [random(300), random(40), random(41)];

Deno.test("JournalFile gives back what was appended", async () => {
  await withJournal(async (path) => {
    const all = await openAll(path);
    assert.deepEqual(all.map(({ event }) => event), events);
    using file = await JournalFile.open(path, { vaultId, newest: rowOf(all[2]) });
    assert.deepEqual(await file.read(all.map(rowOf)), events);
    assert.deepEqual(await file.read([]), []);
  });
});

Deno.test("JournalFile cuts off an event that a crash left incomplete, and keeps a copy", async () => {
  await withJournal(async (path) => {
    const whole = Deno.readFileSync(path);
    const last = (await openAll(path))[2];
    for (let size = last.offset - 4; size < whole.length; size++) {
      Deno.writeFileSync(path, whole.subarray(0, size));
      const left = await openAll(path);
      assert.deepEqual(left.map(({ event }) => event), events.slice(0, 2), `${size} bytes`);
      assert.equal(Deno.statSync(path).size, last.offset - 4);
      const copies = removeCopies(path);
      assert.equal(copies, size > last.offset - 4 ? 1 : 0);
    }
  });
});

Deno.test("JournalFile goes on after what it cut off", async () => {
  await withJournal(async (path) => {
    const { size } = Deno.statSync(path);
    Deno.truncateSync(path, size - 1);
    using file = await JournalFile.open(path, { vaultId, newest: undefined });
    await file.adopt(false, () => Promise.resolve());
    const added = random(77);
    await file.append(added);
    const all = await openAll(path);
    assert.deepEqual(all.map(({ event }) => event), [events[0], events[1], added]);
  });
});

Deno.test("JournalFile goes on when a disk that failed, also to take an event back, works again", async () => {
  await withJournal(async (path) => {
    const all = await openAll(path);
    using file = await JournalFile.open(path, { vaultId, newest: rowOf(all[2]) });
    const { prototype } = Deno.FsFile;
    const { sync } = prototype;
    prototype.sync = () => Promise.reject(new Error("Input/output error"));
    try {
      await assert.rejects(file.append(random(99)), /Input/);
      await assert.rejects(file.append(random(98)), /Input/);
    } finally {
      prototype.sync = sync;
    }
    const added = random(77);
    await file.append(added);
    const left = await openAll(path);
    assert.deepEqual(left.map(({ event }) => event), [...events, added]);
  });
});

Deno.test("JournalFile refuses to lose an event that the index has", async () => {
  await withJournal(async (path) => {
    const all = await openAll(path);
    Deno.truncateSync(path, Deno.statSync(path).size - 1);
    const newest = rowOf(all[2]);
    await assert.rejects(JournalFile.open(path, { vaultId, newest }), DamagedError);
    Deno.removeSync(path);
    await assert.rejects(JournalFile.open(path, { vaultId, newest }), /gone/);
  });
});

Deno.test("JournalFile refuses every flipped byte when the index is made anew", async () => {
  await withJournal(async (path) => {
    const whole = Deno.readFileSync(path);
    for (let i = 0; i < whole.length; i += i < 60 ? 1 : 13) {
      const flipped = whole.slice();
      flipped[i] ^= 0x40;
      Deno.writeFileSync(path, flipped);
      let taken: Uint8Array[] = [];
      try {
        taken = (await openAll(path)).map(({ event }) => event);
      } catch (error) {
        assert.ok(error instanceof DamagedError, String(error));
        continue;
      }
      // A size that was made larger reads as an event that is cut short.
      assert.ok(taken.length < events.length, `byte ${i}`);
      assert.deepEqual(taken, events.slice(0, taken.length));
    }
  });
});

Deno.test("JournalFile cuts off a changed event that the index does not have, but knows all", async () => {
  await withJournal(async (path) => {
    const all = await openAll(path);
    const bytes = Deno.readFileSync(path);
    bytes.fill(0, all[2].offset); // the size was written, and its bytes were not
    Deno.writeFileSync(path, bytes);
    await assert.rejects(openAll(path), DamagedError);
    using file = await JournalFile.open(path, { vaultId, newest: rowOf(all[1]) });
    await file.adopt(true, () => assert.fail("it is no event"));
    assert.equal(Deno.statSync(path).size, all[2].offset - 4);
  });
});

Deno.test("JournalFile.read() finds an event that was changed", async () => {
  await withJournal(async (path) => {
    const all = await openAll(path);
    const bytes = Deno.readFileSync(path);
    bytes[all[1].offset + 5] ^= 1;
    Deno.writeFileSync(path, bytes);
    using file = await JournalFile.open(path, { vaultId, newest: rowOf(all[2]) });
    await assert.rejects(file.read(all.map(rowOf)), /changed/);
  });
});

function rowOf({ event, hash, offset }: StoredEvent) {
  return { offset, hash, size: event.length };
}

async function openAll(path: string): Promise<StoredEvent[]> {
  const all: StoredEvent[] = [];
  using file = await JournalFile.open(path, { vaultId, newest: undefined });
  await file.adopt(false, (stored) => {
    all.push(stored);
    return Promise.resolve();
  });
  return all;
}

function removeCopies(path: string): number {
  let count = 0;
  for (const entry of Deno.readDirSync(dirname(path))) {
    if (!entry.name.includes(".cut-")) continue;
    Deno.removeSync(join(dirname(path), entry.name));
    count++;
  }
  return count;
}

async function withJournal(test: (path: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "journal", vaultId.toHex(), "events");
    await JournalFile.create(path, { vaultId, event: events[0] });
    {
      using file = await JournalFile.open(path, { vaultId, newest: undefined });
      await file.adopt(true, () => Promise.resolve());
      for (const event of events.slice(1)) await file.append(event);
    }
    await test(path);
  });
}
