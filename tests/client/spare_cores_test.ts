import assert from "node:assert/strict";
import { ComputeMeter, WorkerCount } from "../../lib/client/spare_cores.ts";
import { SPARE_CORES } from "../../lib/limits.ts";

Deno.test("ComputeMeter tells the cores of what was measured, once", () => {
  const now = { processorMs: 100, elapsedMs: 1000 };
  const meter = new ComputeMeter(() => ({ ...now }));
  const pass = (processorMs: number, elapsedMs: number) => {
    now.processorMs += processorMs;
    now.elapsedMs += elapsedMs;
  };
  assert.equal(meter.take(), undefined);
  assert.equal(meter.measure(() => (pass(10, 40), "result")), "result");
  pass(500, 500); // is nobody's
  assert.throws(() => meter.measure(() => (pass(20, 20), assert.fail("thrown"))), /thrown/);
  assert.equal(meter.take(), 0.5);
  assert.equal(meter.take(), undefined);
});

Deno.test("ComputeMeter measures this process", () => {
  const meter = new ComputeMeter();
  meter.measure(() => {
    for (const end = performance.now() + 50; performance.now() < end;);
  });
  const cores = meter.take()!;
  assert.ok(cores > 0 && cores < 2 * navigator.hardwareConcurrency, `${cores}`);
});

Deno.test("WorkerCount grows with the cores that the process has", () => {
  const max = 2;
  const count = (cores: number) => {
    const workers = new WorkerCount({ fixed: undefined, max, cores });
    return [0, 1, 2].map((there) => workers.hasRoomBeside(there));
  };
  assert.deepEqual(count(0.2), [false, false, false]);
  const isOne = navigator.hardwareConcurrency === 1;
  assert.deepEqual(count(1), [true, !isOne, false]); // a thread has a core: another may find one
  assert.deepEqual(count(100), [true, !isOne, false]);
});

Deno.test("WorkerCount does not believe a single job, but many", () => {
  const workers = new WorkerCount({ fixed: undefined, max: 2, cores: 0.3 });
  workers.note(1.5);
  workers.note(undefined);
  assert.equal(workers.hasRoomBeside(0), false);
  for (let i = 0; i < SPARE_CORES.jobsNoted; i++) workers.note(1.5);
  assert.equal(workers.hasRoomBeside(0), true);
  for (let i = 0; i < 4 * SPARE_CORES.jobsNoted; i++) workers.note(0.3);
  assert.equal(workers.hasRoomBeside(0), false);
});

Deno.test("WorkerCount keeps to a number that was asked for", () => {
  for (const fixed of [0, 1, 3]) {
    const workers = new WorkerCount({ fixed, max: 2, cores: fixed === 0 ? 100 : 0 });
    const room = [0, 1, 2, 3].map((there) => workers.hasRoomBeside(there));
    assert.deepEqual(room, [0, 1, 2, 3].map((there) => there < fixed));
  }
});
