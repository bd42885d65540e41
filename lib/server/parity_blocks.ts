/**
 * Makes the parity of a pack, finds which of its blocks are wrong, and puts them right (docs/store.md, "Parity"). All of
 * a pack is in memory; between any two steps `pause` lets others have the thread.
 */
import { createHash } from "node:crypto";
import { concatBytes, equalBytes } from "../bytes.ts";
import {
  blockAt,
  checkAt,
  checkOf,
  countBlocks,
  encodeParity,
  type Parity,
  PARITY_BLOCK_BYTES,
  type ParityShape,
  parityShape,
} from "./parity_format.ts";
import { encodingFactors, recoverShards, Sums } from "./reed_solomon.ts";

/** Awaited between steps of some milliseconds at most. */
export type Pause = () => Promise<void>;

/** Blocks that are hashed in one step: a millisecond. */
const BLOCKS_PER_STEP = 256;

/** Blocks that are not what they were. */
export interface WrongBlocks {
  /** Of the pack. */
  data: Set<number>;
  /** Of the parity. */
  parity: Set<number>;
}

/** A parity file for a pack. */
export async function makeParity(
  pack: Uint8Array,
  { vaultId, name, percent, pause }: {
    vaultId: Uint8Array;
    name: string;
    /** Size of the parity in hundredths of the pack's. */
    percent: number;
    pause: Pause;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  const shape = parityShape(pack.length, percent);
  const shardBytes = shape.stripes * PARITY_BLOCK_BYTES;
  const sums = new Sums(shape.parityCount, shardBytes);
  for (let i = 0; i < shape.dataCount; i++) {
    const shard = pack.subarray(i * shardBytes, (i + 1) * shardBytes);
    sums.add(shard, encodingFactors(shape, i));
    await pause();
  }
  const blocks = concatBytes(...sums.done());
  const checks = concatBytes(await makeChecks(pack, pause), await makeChecks(blocks, pause));
  const packHash = await hashPack(pack, pause);
  const head = { vaultId, pack: name, packBytes: pack.length, packHash, shape, checks };
  return encodeParity(head, blocks);
}

/** SHA-256. All of it at once would keep the thread for some 20 ms. */
async function hashPack(pack: Uint8Array, pause: Pause): Promise<Uint8Array> {
  const hash = createHash("sha256");
  const step = BLOCKS_PER_STEP * PARITY_BLOCK_BYTES;
  for (let at = 0; at < pack.length; at += step) {
    hash.update(pack.subarray(at, at + step));
    await pause();
  }
  return new Uint8Array(hash.digest());
}

async function makeChecks(bytes: Uint8Array, pause: Pause): Promise<Uint8Array> {
  const checks: Uint8Array[] = [];
  for (let block = 0; block < countBlocks(bytes.length); block++) {
    checks.push(checkOf(blockAt(bytes, block)));
    if (block % BLOCKS_PER_STEP === 0) await pause();
  }
  return concatBytes(...checks);
}

/** @param pack as long as it was, with whatever bytes in place of those that cannot be had */
export async function findWrongBlocks(
  pack: Uint8Array,
  { head, blocks }: Parity,
  pause: Pause,
): Promise<WrongBlocks> {
  const { parityCount, stripes } = head.shape;
  const dataBlocks = countBlocks(head.packBytes);
  const find = async (bytes: Uint8Array, count: number, from: number) => {
    const wrong = new Set<number>();
    for (let block = 0; block < count; block++) {
      const check = checkAt(head.checks, from + block);
      if (!equalBytes(checkOf(blockAt(bytes, block)), check)) wrong.add(block);
      if (block % BLOCKS_PER_STEP === 0) await pause();
    }
    return wrong;
  };
  return {
    data: await find(pack, dataBlocks, 0),
    parity: await find(blocks, parityCount * stripes, dataBlocks),
  };
}

/**
 * Puts a pack right, in place. False if more is wrong than the parity can tell; nothing is changed then, unless the pack
 * came out as another than it was.
 */
export async function recoverBlocks(
  pack: Uint8Array,
  { head, blocks, wrong, pause }: Parity & { wrong: WrongBlocks; pause: Pause },
): Promise<boolean> {
  const { shape } = head;
  const stripes = new Set([...wrong.data].map((block) => block % shape.stripes));
  const parity = [...stripes].map((stripe) => ({
    stripe,
    shards: soundParity(shape, { stripe, blocks, wrong: wrong.parity }),
  }));
  for (const { stripe, shards } of parity) {
    const count = [...wrong.data].filter((block) => block % shape.stripes === stripe).length;
    if (count > shards.size) return false;
  }
  for (const { stripe, shards } of parity) {
    const blockOf = (i: number) => i * shape.stripes + stripe;
    const data = Array.from(
      { length: shape.dataCount },
      (_, i) => wrong.data.has(blockOf(i)) ? undefined : blockAt(pack, blockOf(i)),
    );
    for (const [i, bytes] of recoverShards(data, shards)) {
      const target = blockAt(pack, blockOf(i));
      target.set(bytes.subarray(0, target.length));
    }
    await pause();
  }
  return equalBytes(await hashPack(pack, pause), head.packHash);
}

/** Blocks of parity of a stripe that are right, by their shard. */
function soundParity(
  { parityCount, stripes }: ParityShape,
  { stripe, blocks, wrong }: { stripe: number; blocks: Uint8Array; wrong: Set<number> },
): Map<number, Uint8Array> {
  const shards = new Map<number, Uint8Array>();
  for (let j = 0; j < parityCount; j++) {
    const block = j * stripes + stripe;
    if (!wrong.has(block)) shards.set(j, blockAt(blocks, block));
  }
  return shards;
}
