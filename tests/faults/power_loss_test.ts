/** That class B finds what it is there for: with one flush left out, something acknowledged is lost. */
import assert from "node:assert/strict";
import { withFolder } from "../folder.ts";
import { runClass } from "./fault_class.ts";
import { POWER_LOSS, PowerLoss } from "./power_loss.ts";

const SEED = 11;
const COUNT = 48;

/** Flushes by the path that is flushed, relative to the data folder. */
const FLUSHES: Record<string, RegExp> = {
  "a pack": /^packs\/[0-9a-f]{64}\/.*\.tmp$/,
  "the folder of a vault's packs": /^packs\/[0-9a-f]{64}$/,
  "the folder of all packs": /^packs$/,
  "a journal": /^journal\/[0-9a-f]{64}\/events$/,
  "the folder of a journal": /^journal\/[0-9a-f]{64}$/,
  "the folder of all journals": /^journal$/,
  "the server's key": /^server\.key\..*\.tmp$/,
};

for (const [what, pattern] of Object.entries(FLUSHES)) {
  Deno.test(`that ${what} is not flushed is found`, async () => {
    const ignoresSync = (path: string) => pattern.test(path);
    const broken = {
      ...POWER_LOSS,
      begin: (folder: string, random: Parameters<typeof POWER_LOSS.begin>[1]) =>
        PowerLoss.begin(folder, { random, ignoresSync }),
    };
    await withFolder(async (folder) => {
      const options = { folder, seed: SEED, count: COUNT, stopsAtFailure: true };
      const { failures } = await runClass(broken, options);
      assert.equal(failures.length, 1, "nothing was found missing");
    });
  });
}
