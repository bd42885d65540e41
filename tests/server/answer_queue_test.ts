import assert from "node:assert/strict";
import { Channel, type Connection } from "../../lib/channel.ts";
import { AnswerQueue } from "../../lib/server/answer_queue.ts";

/** A peer that notes each write by itself. */
function open(): { queue: AnswerQueue; writes: number[][]; broken: { is: boolean } } {
  const writes: number[][] = [];
  const broken = { is: false };
  const connection: Connection = {
    read: () => Promise.resolve(null),
    write: (bytes) => {
      if (broken.is) return Promise.reject(new Deno.errors.BrokenPipe());
      writes.push([...bytes]);
      return Promise.resolve(bytes.length);
    },
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  return { queue: new AnswerQueue(new Channel(connection)), writes, broken };
}

const frame = (...bytes: number[]) => new Uint8Array(bytes);

Deno.test("answers that gather leave with one write when no more come", async () => {
  const { queue, writes } = open();
  queue.gather();
  await queue.send(frame(1));
  await queue.send(frame(2, 3));
  await Promise.resolve();
  assert.deepEqual(writes, []);
  queue.release();
  await queue.flush();
  assert.deepEqual(writes, [[1, 2, 3]]);
  await queue.send(frame(4));
  await queue.flush();
  assert.deepEqual(writes, [[1, 2, 3], [4]]);
});

Deno.test("an answer that gathers does not wait for long", async () => {
  const { queue, writes } = open();
  queue.gather();
  await queue.send(frame(1));
  for (let waits = 0; writes.length === 0; waits++) {
    assert.ok(waits < 1000, "it waits on");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.deepEqual(writes, [[1]]);
});

Deno.test("large answers do not gather, and are written behind the small ones before them", async () => {
  const { queue, writes } = open();
  const large = new Uint8Array(100_000).fill(7);
  queue.gather();
  await queue.send(frame(1));
  await queue.write(frame(2), large);
  await queue.send(frame(3));
  queue.release();
  await queue.flush();
  assert.deepEqual(writes.flat(), [1, 2, ...large, 3]);
  assert.deepEqual(writes.map(({ length }) => length), [2, large.length, 1]);
});

Deno.test("whoever sends, or waits until all is written, is told that the peer is gone", async () => {
  const { queue, broken } = open();
  broken.is = true;
  queue.gather();
  await queue.send(frame(1));
  await assert.rejects(queue.flush(), /Connection lost/);
  await assert.rejects(queue.send(frame(2)), /Connection lost/);
});
