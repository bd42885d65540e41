/**
 * Gives space back: removes packs that hold nothing any more, and moves what is left of mostly dead ones together
 * (docs/store.md, "Collection"). A record is durable at its new place before its row points there, and its old pack goes
 * only when no row points to it.
 */
import type { BlobStore } from "../blobs.ts";
import type { RecordDatabase } from "../db_records.ts";
import type { PackUse, UpkeepDatabase } from "../db_upkeep.ts";
import { STORE, UPKEEP } from "../limits.ts";
import { PACK_PREFIX_BYTES } from "./pack_format.ts";
import { packBlobName } from "./pack_reader.ts";
import { PackWriter } from "./pack_writer.ts";
import type { Clock } from "../time.ts";
import type { Throttle } from "./throttle.ts";
import type { Vault } from "./vault_store.ts";

export interface TidyOptions {
  blobs: BlobStore;
  records: RecordDatabase;
  upkeep: UpkeepDatabase;
  clock: Clock;
  throttle: Throttle;
}

export interface TidyResult {
  packsRemoved: number;
  recordsMoved: number;
  /** Size of the packs that were removed, less that of new ones. */
  bytesFreed: number;
}

export async function tidyPacks(vault: Vault, options: TidyOptions): Promise<TidyResult> {
  const result: TidyResult = { packsRemoved: 0, recordsMoved: 0, bytesFreed: 0 };
  await removeDead(vault, { ...options, result }); // first: moving takes room
  await moveOutOfSparse(vault, { ...options, result });
  return result;
}

type Tidying = TidyOptions & { result: TidyResult };

async function removeDead(vault: Vault, options: Tidying): Promise<void> {
  for await (const pack of listUses(vault, options)) {
    if (pack.records === 0) await removePack(vault, pack, options);
  }
  await options.records.forgetRemovedPacks(vault.number);
}

/** Unless something in it is needed after all. */
async function removePack(
  vault: Vault,
  pack: PackUse,
  { upkeep, blobs, result }: Tidying,
): Promise<void> {
  if (!(await upkeep.markRemoved(pack.number))) return;
  await blobs.delete(packBlobName({ vaultId: vault.id, name: pack.name }));
  await vault.parity.remove(vault, pack);
  result.packsRemoved++;
  result.bytesFreed += pack.bytes;
}

/**
 * Copies what is needed of mostly dead packs into new ones, and removes the old ones: a new pack's worth at a time, so
 * that no more room than that is needed, also on a disk that is nearly full.
 */
async function moveOutOfSparse(vault: Vault, options: Tidying): Promise<void> {
  const { upkeep, blobs, clock, result } = options;
  const addPack: typeof upkeep.addMovedPack = async (number, pack) => {
    await upkeep.addMovedPack(number, pack);
    result.bytesFreed -= pack.bytes;
  };
  const writer = new PackWriter({ vault, blobs, records: { addPack }, clock });
  let batch: PackUse[] = [];
  let batchBytes = 0;
  const removeBatch = async () => {
    await writer.close();
    for (const pack of batch) await removePack(vault, pack, options);
    await options.records.forgetRemovedPacks(vault.number);
    batch = [];
    batchBytes = 0;
  };
  try {
    for await (const pack of listUses(vault, options)) {
      if (!isSparse(pack)) continue;
      if (batchBytes + pack.recordBytes > STORE.packBytes) await removeBatch();
      await copyRecords(pack, { ...options, vault, writer });
      batch.push(pack);
      batchBytes += pack.recordBytes;
    }
  } finally {
    await removeBatch();
  }
}

/** A pack with damaged records stays: what its bytes are worth is for its owner to see. */
function isSparse({ records, recordBytes, unsound, bytes }: PackUse): boolean {
  const live = recordBytes + records * PACK_PREFIX_BYTES;
  return records > 0 && unsound === 0 && live < bytes * UPKEEP.sparseShare;
}

async function copyRecords(
  pack: PackUse,
  { vault, writer, upkeep, throttle, result }: Tidying & { vault: Vault; writer: PackWriter },
): Promise<void> {
  const entries = await upkeep.listPackRecords(pack.number);
  for (let at = 0; at < entries.length; at += UPKEEP.idsPerRead) {
    const batch = entries.slice(at, at + UPKEEP.idsPerRead);
    for await (const read of vault.reader.readAll(batch.map(({ id }) => id))) {
      if (read.state !== "found") continue; // its row stays, and the pack with it
      const { id, type } = batch[read.index];
      const { written, durable } = writer.append({ id, type, bytes: read.bytes });
      durable.catch(() => {}); // `close` tells it
      await written;
      result.recordsMoved++;
      await throttle.pause();
    }
  }
}

/** All packs with what of them is needed, each as it is when it is asked for. */
async function* listUses(
  vault: Vault,
  { upkeep, throttle }: TidyOptions,
): AsyncGenerator<PackUse> {
  const last = await upkeep.findLastPack(); // not those that are made meanwhile
  for (let pack: PackUse | undefined, after = 0;; after = pack.number) {
    pack = await upkeep.findPackUse(vault.number, after);
    if (pack === undefined || pack.number > last) return;
    yield pack;
    await throttle.pause();
  }
}
