/**
 * Class F. Packs that change while they lie on the disk. What is wrong must be found and named, nothing wrong be given for
 * right; the next backup is whole again; and with the packs back from a copy so is everything.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Random } from "./random.ts";
import { backUp, LossError, restoreAll, restoreHonestly } from "./site.ts";
import type { Stage } from "./stage.ts";
import { stagedClass, type StagedFault } from "./staged_class.ts";

const ZEROS_BYTES = 4096;

/** Spoils one or more of the files. */
type Spoil = (paths: string[], random: Random) => void;

const SPOILS: Record<string, Spoil> = {
  "one bit": (paths, random) =>
    change(random.pick(paths), (bytes) => {
      bytes[random.below(bytes.length)] ^= 1 << random.below(8);
      return bytes;
    }),
  "4 KiB of zeros": (paths, random) =>
    change(random.pick(paths), (bytes) => {
      const at = random.below(Math.max(bytes.length - ZEROS_BYTES, 1));
      return bytes.fill(0, at, at + ZEROS_BYTES);
    }),
  truncation: (paths, random) =>
    change(random.pick(paths), (bytes) => bytes.subarray(0, random.below(bytes.length))),
  deletion: (paths, random) => Deno.removeSync(random.pick(paths)),
  "two packs swapped": (paths, random) => {
    const [first, second] = paths.toSorted(() => random.next() - 0.5);
    const bytes = Deno.readFileSync(first);
    Deno.writeFileSync(first, Deno.readFileSync(second));
    Deno.writeFileSync(second, bytes);
  },
};

export const ROT = stagedClass({
  letter: "F",
  title: "rot",
  shortCount: 5,
  count: 30,
  faults: Object.fromEntries(
    Object.entries(SPOILS).map(([name, spoil]) => [name, rotAndHeal(spoil)]),
  ),
});

function rotAndHeal(spoil: Spoil): StagedFault {
  return async (stage, random) => {
    const paths = packPaths(stage);
    const copies = paths.map((path) => Deno.readFileSync(path));
    // As it happens: while the server runs, or before its next start.
    if (random.below(2) === 0) await stage.restartServer(() => spoil(paths, random));
    else spoil(paths, random);
    const scrub = await stage.server("scrub");
    const owed = stage.oracle.owed(stage.nowMs).length;
    const whole = await restoreHonestly(stage);
    if (whole < owed) {
      assert.equal(scrub.code, 5, "the scrub has found nothing");
      const check = await stage.client("check", "--read-data");
      assert.equal(check.code, 5, "the check has found nothing");
      assert.match(check.stdout + check.stderr, /damaged|missing|gone/);
    }
    // The next backup is told what is damaged, and sends it again.
    const healed = await backUp(stage);
    const before = stage.oracle.save();
    stage.oracle.load(new Map([[healed, before.get(healed)!]]));
    await restoreAll(stage);
    stage.oracle.load(before);
    if (await restoreHonestly(stage) < whole + 1) throw new LossError("healing made it worse", 1);
    await stage.restartServer(async () => {
      paths.forEach((path, i) => Deno.writeFileSync(path, copies[i]));
      const { code, stderr } = await stage.server("rebuild");
      assert.equal(code, 0, stderr);
    });
    const { code, stdout } = await stage.server("scrub");
    assert.equal(code, 0, stdout);
    await restoreAll(stage);
  };
}

function change(path: string, make: (bytes: Uint8Array) => Uint8Array): void {
  Deno.writeFileSync(path, make(Deno.readFileSync(path)));
}

function packPaths({ dataPath }: Stage): string[] {
  const packs = join(dataPath, "packs");
  return [...Deno.readDirSync(packs)].flatMap(({ name: vault }) =>
    [...Deno.readDirSync(join(packs, vault))].map(({ name }) => join(packs, vault, name))
  ).sort();
}
