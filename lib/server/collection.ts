/**
 * Collection of one vault (docs/store.md, "Collection"): what no snapshot in force or in hold reaches is condemned, and
 * deleted by a later run when nobody can have been told any more that it is there. Works while backups run; may be
 * left off anywhere.
 */
import type { UpkeepDatabase } from "../db_upkeep.ts";
import type { JournalState } from "../journal_state.ts";
import { RECORD_ID_BYTES } from "../record.ts";
import type { BackupSessions } from "./backup_sessions.ts";
import { markReached } from "./marking.ts";
import { type TidyOptions, tidyPacks, type TidyResult } from "./pack_tidying.ts";
import type { Vault } from "./vault_store.ts";

export interface CollectionOptions extends TidyOptions {
  sessions: BackupSessions;
}

export interface CollectionResult extends TidyResult {
  condemned: number;
  /** Taken back, because something reaches it after all. */
  lifted: number;
  deleted: number;
  /** Condemned, and waiting for sessions to end or for the next run. */
  waiting: number;
  /** Why nothing was condemned or deleted. */
  blocked?: string;
}

export async function collectVault(
  vault: Vault,
  options: CollectionOptions,
): Promise<CollectionResult> {
  const { records, upkeep, sessions, throttle } = options;
  const result = { condemned: 0, lifted: 0, deleted: 0 };
  // In this order: a session that has ended has its commit among the roots.
  const epoch = await upkeep.findEpoch(vault.number);
  const upTo = Math.min(await sessions.oldestEpoch(vault.number), epoch) - 1;
  const last = await upkeep.findLastRecord();
  const roots = joinRoots(vault.journal.state);
  const { reader, number: vaultNumber } = vault;
  const marks = await markReached(roots, { vaultNumber, records, reader, throttle, last });
  const isNeeded = (number: number) => number <= last && marks.reached.has(number);
  if (marks.unknown > 0) {
    // What lies below a damaged record is not known. It may be mended from a copy, or healed by a backup.
    const tidied = await tidyPacks(vault, options);
    const waiting = await upkeep.countCondemned(vault.number);
    const blocked = `${marks.unknown} records that snapshots need are damaged or missing`;
    return { ...result, ...tidied, waiting, blocked };
  }
  await condemn(vault, { ...options, last, epoch, isNeeded, result });
  await settle(vault, { ...options, upTo, isNeeded, result });
  const tidied = await tidyPacks(vault, options);
  return { ...result, ...tidied, waiting: await upkeep.countCondemned(vault.number) };
}

interface Step extends CollectionOptions {
  isNeeded: (number: number) => boolean;
  result: { condemned: number; lifted: number; deleted: number };
}

async function condemn(
  vault: Vault,
  { upkeep, throttle, last, epoch, isNeeded, result }: Step & { last: number; epoch: number },
): Promise<void> {
  let after: Uint8Array | undefined;
  do {
    const batch = await upkeep.condemnBatch(vault.number, { after, last, epoch, isNeeded });
    after = batch.after;
    result.condemned += batch.count;
    await throttle.pause();
  } while (after !== undefined);
  // What a run that was left off has condemned counts too.
  if (await upkeep.hasCondemned(vault.number, epoch)) await upkeep.startEpoch(vault.number);
}

async function settle(
  vault: Vault,
  { upkeep, throttle, upTo, isNeeded, result }: Step & { upTo: number },
): Promise<void> {
  let after: number | undefined = 0;
  while (after !== undefined) {
    const batch: Awaited<ReturnType<UpkeepDatabase["settleBatch"]>> = await upkeep.settleBatch(
      vault.number,
      { after, upTo, isNeeded },
    );
    after = batch.after;
    result.lifted += batch.lifted;
    result.deleted += batch.deleted;
    await throttle.pause();
  }
}

/** Ids of the roots of all snapshots, in force or in hold. The table may change later. */
function joinRoots(state: JournalState): Uint8Array {
  const { snapshots } = state.facts;
  const roots = new Uint8Array(snapshots.size * RECORD_ID_BYTES);
  let at = 0;
  for (const { root } of snapshots) {
    roots.set(root, at);
    at += RECORD_ID_BYTES;
  }
  return roots;
}
