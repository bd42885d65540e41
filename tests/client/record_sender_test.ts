import assert from "node:assert/strict";
import { RecordSender, type RecordStore } from "../../lib/client/record_sender.ts";
import { BACKUP } from "../../lib/limits.ts";
import { idOf } from "../vault/fixture.ts";

/** A server that answers when it is told to. */
class SlowStore implements RecordStore {
  readonly asked: { ids: string[]; answer: (present: boolean[]) => void }[] = [];
  readonly puts: { id: string; bytes: number; stored: () => void; fail: (error: Error) => void }[] =
    [];
  flushed = 0;

  has(ids: Uint8Array[]): Promise<boolean[]> {
    return new Promise((answer) => {
      this.asked.push({ ids: ids.map((id) => id.toHex()), answer });
    });
  }

  put(id: Uint8Array, ...parts: Uint8Array[]): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    return new Promise((stored, fail) => this.puts.push({ id: id.toHex(), bytes, stored, fail }));
  }

  waitForRoom(): Promise<void> {
    return Promise.resolve();
  }

  flush(): Promise<void> {
    this.flushed++;
    return Promise.resolve();
  }

  /** Answers the oldest question. */
  answer(isPresent = false): void {
    const { ids, answer } = this.asked.shift()!;
    answer(ids.map(() => isPresent));
  }
}

const record = (n: number, bytes = 10, release = () => {}) => {
  return { id: idOf(n), parts: [new Uint8Array(bytes)], release };
};
/** Whatever can be done without the server is done. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const names = (...numbers: number[]) => numbers.map((n) => idOf(n).toHex());

Deno.test("records are put while the next ones are asked for", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  await sender.send(record(1));
  await sender.send(record(2));
  await sender.send(record(3));
  assert.deepEqual(store.asked.map(({ ids }) => ids), [names(1)]);
  store.answer();
  await settle();
  assert.deepEqual(store.puts.map(({ id }) => id), names(1));
  assert.deepEqual(store.asked.map(({ ids }) => ids), [names(2, 3)]);
  store.answer();
  await settle();
  assert.deepEqual(store.puts.map(({ id }) => id), names(1, 2, 3));
  assert.deepEqual(sender.sent, { bytes: 30, records: 3 });
  assert.equal(sender.liveBytes, 30);
  for (const { stored } of store.puts) stored();
  await settle();
  assert.equal(sender.liveBytes, 0);
});

Deno.test("what the server has is not put, and nothing is asked twice", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  let released = 0;
  await sender.send(record(1, 10, () => void released++));
  await sender.send(record(1, 10, () => void released++));
  assert.equal(released, 1);
  store.answer(true);
  await settle();
  assert.deepEqual([released, store.puts.length, store.asked.length], [2, 0, 0]);
  assert.equal(sender.liveBytes, 0);
});

Deno.test("what is held and what is on its way have bounds", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  const bytes = 1024 * 1024;
  const waits = [];
  for (let n = 0; n < 64; n++) waits.push(sender.send(record(n, bytes)));
  await settle();
  for (let answers = 0; store.asked.length > 0; answers++) {
    assert.ok(answers < 64);
    store.answer();
    await settle();
  }
  const put = store.puts.length * bytes;
  assert.ok(put > BACKUP.unstoredBytesMax && put <= BACKUP.unstoredBytesMax + bytes, `${put}`);
  let taken = 0;
  for (const wait of waits) void wait.then(() => taken++);
  await settle();
  assert.ok(taken < waits.length);
  for (let at = 0; at < 64; at++) {
    store.puts[at].stored();
    await settle();
  }
  await Promise.all(waits);
  assert.equal(store.puts.length, 64);
});

Deno.test("drain() waits until all was asked and put", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  await sender.send(record(1));
  let isDone = false;
  const draining = sender.drain().then(() => isDone = true);
  await settle();
  assert.deepEqual([isDone, store.flushed], [false, 0]);
  store.answer();
  await draining;
  assert.deepEqual([store.puts.length, store.flushed], [1, 1]);
});

Deno.test("drain() waits for records that have no room on the way yet", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  const bytes = BACKUP.unstoredBytesMax + 1;
  void sender.send(record(1, bytes));
  void sender.send(record(2, 10));
  store.answer();
  await settle();
  store.answer();
  await settle();
  assert.deepEqual([store.puts.length, store.asked.length], [1, 0]);
  const draining = sender.drain();
  await settle();
  assert.equal(store.flushed, 0);
  store.puts[0].stored();
  await draining;
  assert.deepEqual([store.puts.length, store.flushed], [2, 1]);
});

Deno.test("a failure is told to whoever sends, waits or drains", async () => {
  const store = new SlowStore();
  const sender = new RecordSender(store);
  await sender.send(record(1));
  store.answer();
  await settle();
  store.puts[0].fail(new Error("no space"));
  await settle();
  await assert.rejects(sender.send(record(2)), /no space/);
  await assert.rejects(sender.drain(), /no space/);

  const other = new RecordSender({ ...unanswered(), has: () => Promise.reject(new Error("lost")) });
  await other.send(record(1));
  await assert.rejects(other.drain(), /lost/);
});

function unanswered(): RecordStore {
  const store = new SlowStore();
  return {
    has: (ids) => store.has(ids),
    put: (id, ...parts) => store.put(id, ...parts),
    waitForRoom: () => store.waitForRoom(),
    flush: () => store.flush(),
  };
}
