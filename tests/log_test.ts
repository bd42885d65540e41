import assert from "node:assert/strict";
import { Log, type LogFormat } from "../lib/log.ts";

function memoryLog(format: LogFormat): { log: Log; text: () => string } {
  let text = "";
  const sink = {
    write: (bytes: Uint8Array) => {
      text += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    },
  };
  return { log: new Log({ format, sink, now: () => 0 }), text: () => text };
}

Deno.test("Log writes one line per event", async () => {
  const { log, text } = memoryLog("text");
  log.info("file stored", { client: "alice", bytes: 27, file: undefined });
  log.warn("request refused", { name: "two words" });
  await log.flush(1000);
  assert.equal(
    text(),
    "1970-01-01T00:00:00.000Z info  file stored client=alice bytes=27\n" +
      '1970-01-01T00:00:00.000Z warn  request refused name="two words"\n',
  );
});

Deno.test("Log lets nobody forge a line or move the cursor", async () => {
  const { log, text } = memoryLog("text");
  log.info("registered", { client: 'a"\n1970 info forged\x1b[2J\u0085\u2028\u202e' });
  await log.flush(1000);
  assert.equal(
    text(),
    "1970-01-01T00:00:00.000Z info  registered " +
      'client="a\\"\\n1970 info forged\\u001b[2J\\u{85}\\u{2028}\\u{202e}"\n',
  );
});

Deno.test("Log writes JSON that can be read back", async () => {
  const { log, text } = memoryLog("json");
  log.error("request failed", new Error("outer", { cause: new Error("inner") }), {
    client: "a\nb",
  });
  await log.flush(1000);
  assert.deepEqual(JSON.parse(text()), {
    time: "1970-01-01T00:00:00.000Z",
    level: "error",
    event: "request failed",
    client: "a\nb",
    error: "outer: inner",
  });
});

Deno.test("Log drops and counts lines when its reader does not keep up", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let text = "";
  const sink = {
    write: async (bytes: Uint8Array) => {
      await promise;
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  };
  const log = new Log({ format: "text", sink, now: () => 0 });
  for (let n = 0; n < 50_000; n++) {
    log.info("event", { n });
    if (n === 0) await Promise.resolve();
  }
  resolve();
  await log.flush(10_000);
  assert.ok(text.length < 1.2 * 1024 * 1024, `${text.length} bytes were kept`);
  const dropped = Number(/log lines dropped lines=(\d+)/.exec(text)?.[1]);
  assert.equal(text.split("\n").length - 2 + dropped, 50_000);
});

Deno.test("Log goes on when its reader is gone", async () => {
  let writes = 0;
  const sink = { write: () => Promise.reject(new Error(`broken ${writes++}`)) };
  const log = new Log({ format: "text", sink, now: () => 0 });
  log.info("one");
  await log.flush(1000);
  log.info("two");
  await log.flush(1000);
  assert.equal(writes, 2);
});
