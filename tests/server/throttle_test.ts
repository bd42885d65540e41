/** Upkeep takes its share of the time, and less of it while devices are served. */
import assert from "node:assert/strict";
import { UPKEEP } from "../../lib/limits.ts";
import { Activity } from "../../lib/server/activity.ts";
import { StoppedError, Throttle } from "../../lib/server/throttle.ts";

class HandClock {
  ms = 0;
  wall = () => this.ms;
  elapsed = () => this.ms;
}

/** Runs work with a clock that goes on by what is waited for. Gives what was waited for. */
async function recordRests(clock: HandClock, work: () => Promise<void>): Promise<number[]> {
  const { setTimeout } = globalThis;
  const rests: number[] = [];
  globalThis.setTimeout = ((done: () => void, ms: number) => {
    rests.push(ms);
    clock.ms += ms;
    return setTimeout(done, 0);
  }) as typeof setTimeout;
  try {
    await work();
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  return rests;
}

Deno.test("Throttle rests as long as its share says, longer while somebody is served", async () => {
  const clock = new HandClock();
  const activity = new Activity(clock);
  const throttle = new Throttle({
    ...{ clock, shares: { quiet: 0.5, busy: 0.1 } },
    ...{ isBusy: () => activity.isBusy, isStopping: () => false },
  });
  const rests = await recordRests(clock, async () => {
    const work = async (ms: number) => {
      clock.ms += ms;
      await throttle.pause();
    };
    await work(1); // too little
    await work(9);
    activity.begin();
    await work(10);
    activity.end();
    await work(10);
    await work(UPKEEP.busyMs);
    await work(10);
    await work(50_000);
  });
  assert.deepEqual(rests.map(Math.round), [10, 90, 90, UPKEEP.busyMs, 10, 1000]);
});

Deno.test("Throttle ends the work of a server that stops", async () => {
  const clock = new HandClock();
  const options = { clock, shares: { quiet: 1, busy: 1 }, isStopping: () => true };
  await assert.rejects(new Throttle(options).pause(), StoppedError);
});
