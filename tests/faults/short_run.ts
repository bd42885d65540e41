/** The short run of a class as a test. `HOLDFAST_SEED` gives the faults of an earlier run again. */
import assert from "node:assert/strict";
import { withFolder } from "../folder.ts";
import { type FaultClass, runClass } from "./fault_class.ts";

export function testClass(one: FaultClass): void {
  Deno.test(`what was acknowledged outlives ${one.title}`, async () => {
    const seed = Number(Deno.env.get("HOLDFAST_SEED") ?? Math.floor(Math.random() * 2 ** 31));
    await withFolder(async (folder) => {
      const { failures, faults, survived, filesLost } = await runClass(one, {
        ...{ folder, seed, count: one.shortCount },
      });
      assert.deepEqual(failures, [], `HOLDFAST_SEED=${seed}`);
      assert.deepEqual({ survived, filesLost }, { survived: faults, filesLost: 0 });
    });
  });
}
