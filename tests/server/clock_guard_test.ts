import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../../lib/db.ts";
import { VaultDatabase } from "../../lib/db_vault.ts";
import { Log } from "../../lib/log.ts";
import { ClockGuard } from "../../lib/server/clock_guard.ts";
import { dropGivenUp } from "../../lib/server/expiry.ts";
import { RecordType } from "../../lib/record.ts";
import { withFolder } from "../folder.ts";
import { makeRecord } from "./fixture.ts";
import { DAY_MS, withStoreBench } from "./store_bench.ts";

const HOUR_MS = 3600 * 1000;

Deno.test("a step of the clock by more than an hour stops expiry until it is confirmed", async () => {
  await withFolder(async (folder) => {
    using disposable = new DisposableDatabase(folder);
    const db = new VaultDatabase(disposable.db.sql);
    const log = new Log({ format: "text", sink: { write: async (b) => b.length }, now: Date.now });
    let [wall, elapsed] = [Date.UTC(2026, 0, 1), 0];
    const clock = { wall: () => wall, elapsed: () => elapsed };
    const pass = async (guard: ClockGuard, { wallMs, elapsedMs }: Record<string, number>) => {
      wall += wallMs;
      elapsed += elapsedMs;
      await guard.tick();
      return await ClockGuard.findStep(db);
    };
    const guard = await ClockGuard.start({ db, clock, log });
    assert.equal(await pass(guard, { wallMs: 31 * DAY_MS, elapsedMs: 31 * DAY_MS }), undefined);
    assert.equal(await pass(guard, { wallMs: HOUR_MS, elapsedMs: 100 }), undefined);
    assert.match(
      (await pass(guard, { wallMs: HOUR_MS + 200, elapsedMs: 100 }))!,
      /^forward by 3600/,
    );
    assert.ok(await pass(guard, { wallMs: 100, elapsedMs: 100 }), "it stays");
    const again = await ClockGuard.start({ db, clock, log });
    assert.ok(await pass(again, { wallMs: 100, elapsedMs: 100 }), "also over a restart");
    await ClockGuard.confirm(db, clock);
    assert.equal(await pass(again, { wallMs: DAY_MS, elapsedMs: DAY_MS }), undefined);
    wall -= 2 * HOUR_MS; // while the server was stopped
    await ClockGuard.start({ db, clock, log });
    assert.match((await ClockGuard.findStep(db))!, /^back by 7200 s/);
  });
});

Deno.test("nothing is dropped while the journal is ahead of the clock", async () => {
  await withStoreBench(async (bench) => {
    const root = makeRecord(RecordType.ROOT);
    const device = await bench.member();
    await device.put(root);
    assert.equal(await device.commit(root), 0);
    await bench.forget(root);
    bench.clock.shiftMs += 400 * DAY_MS; // ahead; somebody writes
    const other = makeRecord(RecordType.ROOT);
    await device.put(other);
    assert.equal(await device.commit(other), 0);
    bench.clock.shiftMs -= 400 * DAY_MS; // and set right again
    const { clock } = bench;
    const result = await dropGivenUp(bench.vault.journal, { clock, extraHoldMs: 0 });
    assert.deepEqual([result.dropped, /later time/.test(result.stopped!)], [0, true]);
  });
});

Deno.test("the operator can hold longer than the owners want", async () => {
  await withStoreBench(async (bench) => {
    const root = makeRecord(RecordType.ROOT);
    const device = await bench.member();
    await device.put(root);
    assert.equal(await device.commit(root), 0);
    await bench.forget(root);
    const { clock } = bench;
    const drop = async (extraHoldMs: number) =>
      (await dropGivenUp(bench.vault.journal, { clock, extraHoldMs })).dropped;
    bench.clock.shiftMs += 8 * DAY_MS;
    assert.equal(await drop(2 * DAY_MS), 0);
    assert.equal(await drop(0), 1);
  });
});

class DisposableDatabase implements Disposable {
  readonly db: Database;

  constructor(folder: string) {
    this.db = Database.open(join(folder, "holdfast.db"));
  }

  [Symbol.dispose](): void {
    this.db.close();
  }
}
