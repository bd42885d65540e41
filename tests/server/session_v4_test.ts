import assert from "node:assert/strict";
import { EventKind } from "../../lib/journal.ts";
import { AnswerCode, RequestCode } from "../../lib/protocol_v4.ts";
import * as v4 from "../../lib/protocol_v4.ts";
import { RecordType } from "../../lib/record.ts";
import { makeRecord, withServer } from "./fixture.ts";

Deno.test("a vault is founded, a backup put and committed, and got back", async () => {
  await withServer(async (server) => {
    const member = await server.found();
    await member.open();
    const files = [makeRecord(RecordType.DATA, [], 50_000), makeRecord(RecordType.DATA)];
    const segment = makeRecord(RecordType.SEGMENT, files);
    const root = makeRecord(RecordType.ROOT, [segment]);
    assert.deepEqual(await member.has(...files, segment, root), [false, false, false, false]);
    await member.put(...files, segment, root);
    assert.deepEqual(await member.has(...files, segment, root), [true, true, true, true]);
    assert.equal(await member.commit(root), "committed");
    const other = makeRecord(RecordType.DATA);
    assert.deepEqual(await member.get(root, other, files[1], files[0]), [
      root.bytes,
      "missing",
      files[1].bytes,
      files[0].bytes,
    ]);
    const page = v4.decodeEventsPage(
      (await member.ask(RequestCode.EVENTS, v4.encodeEventsAfter(0))).payload,
    );
    assert.equal(page.headNumber, 2);
    assert.equal(page.events.length, 2);
    assert.equal((await member.ask(RequestCode.PING)).code, AnswerCode.DONE);
    member.client.close();
    assert.equal(EventKind.COMMIT, 6);
  });
});
