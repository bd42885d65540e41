import assert from "node:assert/strict";
import fc from "fast-check";
import { Channel, type Connection } from "../lib/channel.ts";
import { UnreachableError } from "../lib/errors.ts";
import { checkAsync } from "./property.ts";

/** A connection that delivers these pieces, then ends, or says nothing more. */
function fakeConnection(
  pieces: Uint8Array[],
  { ends = true } = {},
): Connection & { written: number[] } {
  const queue = pieces.map((piece) => piece.slice());
  const written: number[] = [];
  return {
    written,
    read(buffer) {
      const piece = queue[0];
      if (piece === undefined) return ends ? Promise.resolve(null) : new Promise(() => {});
      const count = Math.min(piece.length, buffer.length);
      buffer.set(piece.subarray(0, count));
      if (count === piece.length) queue.shift();
      else queue[0] = piece.subarray(count);
      return Promise.resolve(count);
    },
    write(bytes) {
      const count = Math.min(bytes.length, 3);
      written.push(...bytes.subarray(0, count));
      return Promise.resolve(count);
    },
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
}

Deno.test("Channel gives the bytes in order however they arrive and are asked for", async () => {
  const piece = fc.uint8Array({ minLength: 1, maxLength: 40_000 });
  const sizes = fc.array(fc.nat({ max: 40_000 }), { maxLength: 8 });
  await checkAsync(
    fc.asyncProperty(fc.array(piece, { maxLength: 6 }), sizes, async (pieces, sizes) => {
      const all = pieces.flatMap((piece) => [...piece]);
      const channel = new Channel(fakeConnection(pieces.map((piece) => new Uint8Array(piece))));
      let offset = 0;
      for (const [n, size] of sizes.entries()) {
        const wanted = Math.min(size, all.length - offset);
        if (n % 3 === 1) {
          assert.equal(await channel.skip(wanted), true);
        } else {
          if (n % 3 === 2) await channel.waitForData(1000);
          const target = new Uint8Array(wanted);
          assert.equal(await channel.readInto(target), wanted);
          assert.deepEqual([...target], all.slice(offset, offset + wanted));
        }
        offset += wanted;
      }
    }),
    30,
  );
});

Deno.test("Channel tells the end between messages from the end within one", async () => {
  assert.equal(await new Channel(fakeConnection([])).read(4), null);
  const cut = new Channel(fakeConnection([new Uint8Array(3)]));
  await assert.rejects(cut.read(4), UnreachableError);
  assert.equal(await new Channel(fakeConnection([new Uint8Array(3)])).skip(4), false);
});

Deno.test("Channel.waitForData() gives up without losing what comes later", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  let target: Uint8Array | undefined;
  const conn = { ...fakeConnection([]), read: (buffer: Uint8Array) => (target = buffer, promise) };
  const channel = new Channel(conn);
  assert.equal(await channel.waitForData(5), false);
  target!.set([1, 2, 3]);
  resolve(3);
  assert.deepEqual([...await channel.readExactly(3)], [1, 2, 3]);
});

Deno.test("Channel.write() sends all of it", async () => {
  const conn = fakeConnection([]);
  await new Channel(conn).write(new Uint8Array([1, 2, 3, 4, 5, 6, 7]));
  assert.deepEqual(conn.written, [1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("Channel is overdue after silence, and after the whole time, but only while it waits", async () => {
  const channel = new Channel(fakeConnection([new Uint8Array(1)], { ends: false }));
  const now = performance.now();
  channel.expect({ totalMs: 10_000, silenceMs: 1000 });
  await channel.readExactly(1);
  assert.equal(channel.isOverdue(now + 5000), false, "the time is ours: nobody waits for the peer");
  const waiting = channel.waitForData(5);
  assert.equal(channel.isOverdue(performance.now() + 900), false);
  assert.equal(channel.isOverdue(performance.now() + 5000), true);
  channel.expect({ totalMs: 10_000, silenceMs: Infinity });
  assert.equal(channel.isOverdue(performance.now() + 9000), false);
  assert.equal(channel.isOverdue(performance.now() + 11_000), true);
  await waiting;
});
