/**
 * Class F. Packs that change while they lie on the disk. What is wrong must be found and named, nothing wrong be given for
 * right; the next backup is whole again; and with the packs back from a copy so is everything. With parity, what is not
 * more than it can tell is right again without a client; and what is more is damage as ever.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { decodeParity, PARITY_BLOCK_BYTES } from "../../lib/server/parity_format.ts";
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
      return flipBit(bytes, random.below(bytes.length), random);
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
  shortCount: 7,
  count: 42,
  faults: {
    ...Object.fromEntries(
      Object.entries(SPOILS).map(([name, spoil]) => [name, rotAndHeal(spoil)]),
    ),
    "with parity": async (stage, random) => {
      await makeParity(stage);
      await rotAndRepair(stage, random);
    },
    "more than parity": async (stage, random) => {
      await makeParity(stage);
      await rotAndHeal(random.pick([SPOILS.deletion, SPOILS["two packs swapped"], spoilMost]))(
        stage,
        random,
      );
    },
  },
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

async function makeParity(stage: Stage): Promise<void> {
  const { code, stderr } = await stage.server("parity", "5%");
  assert.equal(code, 0, stderr);
}

/** Rot in packs, and in parity, that is not more than parity can tell: healed by the server alone. */
async function rotAndRepair(stage: Stage, random: Random): Promise<void> {
  const paths = packPaths(stage);
  const copies = paths.map((path) => Deno.readFileSync(path));
  const spoil = () => {
    for (const path of paths) {
      if (random.below(2) === 0) spoilWithin(path, random);
    }
  };
  const isDown = random.below(2) === 0;
  if (isDown) await stage.restartServer(spoil);
  else spoil();
  // Who comes first: a client that reads, a scrub, or the operator who makes the index again.
  const way = random.below(3);
  if (way === 0) await restoreAll(stage);
  if (way === 2) {
    await stage.restartServer(async () => {
      const { code, stderr } = await stage.server("rebuild");
      assert.equal(code, 0, stderr);
    });
  }
  const { code, stdout } = await stage.server("scrub");
  assert.equal(code, 0, stdout);
  paths.forEach((path, i) => {
    if (Buffer.compare(Deno.readFileSync(path), copies[i]) !== 0) {
      throw new LossError(`${path} is not what it was`, 1);
    }
  });
  await restoreAll(stage);
  const check = await stage.client("check", "--read-data");
  assert.equal(check.code, 0, check.stdout + check.stderr);
}

/** Spoils blocks of a pack, and of its parity: of both not more than there is parity in one stripe. */
function spoilWithin(path: string, random: Random): void {
  const parityPath = path.replace("/packs/", "/parity/");
  const { head, blocks } = decodeParity(Deno.readFileSync(parityPath));
  const { parityCount, stripes } = head.shape;
  const spare = random.below(2); // a block of parity that is spoiled too
  if (spare > 0) {
    const place = blocks.byteOffset + random.below(blocks.length);
    change(parityPath, (bytes) => flipBit(bytes, place, random));
  } else if (random.below(2) === 0) {
    change(parityPath, (bytes) => bytes.fill(0, 0, random.below(blocks.byteOffset)));
  }
  // As many neighbours are in different stripes, or as many times in each.
  const blocksMax = (parityCount - spare) * stripes;
  change(path, (bytes) => {
    const kind = random.below(3);
    if (kind === 0) return flipBit(bytes, random.below(bytes.length), random);
    const most = (blocksMax - 1) * PARITY_BLOCK_BYTES + 1; // wherever it begins in its block
    const size = Math.min(1 + random.below(most), bytes.length);
    if (kind === 1) return bytes.subarray(0, bytes.length - size);
    const at = random.below(bytes.length - size + 1);
    return bytes.fill(0, at, at + size);
  });
}

const spoilMost: Spoil = (paths, random) =>
  change(random.pick(paths), (bytes) => bytes.fill(0, 0, Math.ceil(bytes.length * 0.9)));

function flipBit(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  bytes[at] ^= 1 << random.below(8);
  return bytes;
}

function change(path: string, make: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array): void {
  Deno.writeFileSync(path, make(Deno.readFileSync(path)));
}

function packPaths({ dataPath }: Stage): string[] {
  const packs = join(dataPath, "packs");
  return [...Deno.readDirSync(packs)].flatMap(({ name: vault }) =>
    [...Deno.readDirSync(join(packs, vault))].map(({ name }) => join(packs, vault, name))
  ).sort();
}
