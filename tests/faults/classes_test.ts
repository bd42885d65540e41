import assert from "node:assert/strict";
import { withFolder } from "../folder.ts";
import { CLASSES } from "./classes.ts";
import { runClass } from "./fault_class.ts";

for (const one of CLASSES) {
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
