import assert from "node:assert/strict";
import type { Connection } from "../../lib/channel.ts";
import { Wire, type WireRequest } from "../../lib/client/wire_v4.ts";
import { encodeFrame, RequestCode } from "../../lib/protocol_v4.ts";

const idle = { read: () => new Promise<null>(() => {}), closeWrite: () => Promise.resolve() };

function request(...parts: Uint8Array[]): WireRequest {
  const nothing = () => {};
  const code = RequestCode.PUT;
  return { code, purpose: "test", encode: () => parts, take: nothing, fail: nothing };
}

Deno.test("requests of one turn leave with one write, large parts uncopied and in their place", async () => {
  const writes: Uint8Array[] = [];
  const connection: Connection = {
    ...{ ...idle, close: () => {} },
    write: (bytes) => {
      writes.push(bytes);
      return Promise.resolve(bytes.length);
    },
  };
  const wire = new Wire(connection, { answerMs: 1000 });
  const [small, large] = [new Uint8Array(10).fill(1), new Uint8Array(100_000).fill(2)];
  wire.send(request(small));
  wire.send(request(small, small));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(writes.length, 1);
  wire.send(request(small, large, small));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(writes.length, 4);
  assert.equal(writes[2], large, "the same bytes, not a copy");
  const payloads = [[small], [small, small], [small, large, small]];
  const expected = payloads.flatMap((parts, index) => {
    const payload = new Uint8Array(parts.flatMap((part) => [...part]));
    return [...encodeFrame(RequestCode.PUT, { requestId: index + 1, payload })];
  });
  assert.deepEqual(writes.flatMap((bytes) => [...bytes]), expected);
  wire.close();
});
