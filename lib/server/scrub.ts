/**
 * Scrub (docs/store.md, "Scrub"): reads packs whole, those first that were not read for the longest time, and compares
 * each record with its id. What is wrong is repaired from parity, if there is some; or it is noted, so that the next
 * backup heals it.
 */
import type { PackUse, UpkeepDatabase } from "../db_upkeep.ts";
import type { Clock } from "../time.ts";
import type { Throttle } from "./throttle.ts";
import type { Vault } from "./vault_store.ts";

export interface ScrubOptions {
  upkeep: UpkeepDatabase;
  clock: Clock;
  throttle: Throttle;
}

export interface ScrubResult {
  packs: number;
  records: number;
  bytes: number;
  /** Records that were found damaged now. */
  damaged: number;
  /** Records that were wrong, known or not, and were repaired from parity. */
  repaired: number;
  /** Packs that got parity now, because they had none. */
  parityMade: number;
  /** Records that were known to be damaged, and are right again: somebody brought the pack back from a copy. */
  mended: number;
}

export function noneScrubbed(): ScrubResult {
  return { packs: 0, records: 0, bytes: 0, damaged: 0, repaired: 0, parityMade: 0, mended: 0 };
}

/** Compares all packs of a vault that were last read before a time. */
export async function scrubVault(
  vault: Vault,
  { beforeMs, ...options }: ScrubOptions & { beforeMs: number },
): Promise<ScrubResult> {
  const result = noneScrubbed();
  const { upkeep } = options;
  let pack;
  while ((pack = await upkeep.findScrubPack(vault.number, beforeMs)) !== undefined) {
    const timeMs = Math.max(options.clock.wall(), beforeMs); // or it would be the next one again
    await scrubPack(vault, { ...options, pack, timeMs, result });
  }
  return result;
}

/** Compares one pack. It counts as read when all of it was. */
export async function scrubPack(
  vault: Vault,
  { pack, timeMs, result, upkeep, throttle }: Omit<ScrubOptions, "clock"> & {
    pack: Pick<PackUse, "number">;
    timeMs: number;
    result: ScrubResult;
  },
): Promise<void> {
  const pause = () => throttle.pause();
  result.repaired += (await vault.parity.scrub(vault, pack, pause)).records;
  const entries = await upkeep.listPackRecords(pack.number);
  const placed = entries.map((entry) => ({ ...entry, pack: pack.number }));
  for await (const read of vault.reader.readPlaced(placed)) {
    const wasDamaged = entries[read.index].damaged;
    if (read.state === "found") {
      result.records++;
      result.bytes += read.bytes.length;
      if (wasDamaged) result.mended++;
    }
    if (read.state === "damaged" && !wasDamaged) result.damaged++;
    await throttle.pause();
  }
  if (await vault.parity.makeMissing(vault, pack, pause)) result.parityMade++;
  await upkeep.setScrubbed(pack.number, timeMs);
  result.packs++;
}
