/** What a vault's devices are told of its space and health (docs/protocol_v4.md, "Usage"). */
import type { UpkeepDatabase } from "../db_upkeep.ts";
import type { UsageDatabase } from "../db_usage.ts";
import type { VaultDatabase } from "../db_vault.ts";
import { UPKEEP } from "../limits.ts";
import type { Usage } from "../protocol_v4_usage.ts";
import { type Clock, remembered } from "../time.ts";
import { readQuota } from "./quota.ts";

export interface VaultUsageOptions {
  vault: { number: number; id: Uint8Array };
  db: VaultDatabase;
  upkeep: UpkeepDatabase;
  usage: UsageDatabase;
  clock: Clock;
}

/** Counts when it is asked; asked often, it answers as it was a moment ago, as it reads all of the vault's index. */
export function usageOf({ vault, db, upkeep, usage, clock }: VaultUsageOptions): () => Promise<
  Usage
> {
  const id = vault.id.toHex();
  return remembered(async () => {
    const use = await upkeep.findVaultUse(id);
    if (use === undefined) throw new RangeError(`No vault ${id}`);
    const { bytes: storedBytes, records, condemned, damaged, collectedMs } = use;
    const quota = await readQuota(db, id);
    const reads = await usage.findPackReads(vault.number);
    return { storedBytes, records, condemned, damaged, collectedMs, ...reads, quota };
  }, { forMs: UPKEEP.usageMs, clock });
}
