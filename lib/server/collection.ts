/**
 * Collection of one vault (docs/store.md, "Collection"): what no snapshot in force or in hold reaches is condemned, and
 * deleted by a later run when nobody can have been told any more that it is there. Works while backups run; may be
 * left off anywhere.
 */
import { BATCH_ROWS, type UpkeepDatabase } from "../db_upkeep.ts";
import type { JournalState } from "../journal_state.ts";
import { RECORD_ID_BYTES } from "../record.ts";
import { BitSet } from "./bit_set.ts";
import type { BackupSessions } from "./backup_sessions.ts";
import { Marks } from "./marking.ts";
import { type TidyOptions, tidyPacks, type TidyResult } from "./pack_tidying.ts";
import type { Vault } from "./vault_store.ts";

export interface CollectionOptions extends TidyOptions {
  sessions: BackupSessions;
}

/** What one run has done. */
export interface RunResult {
  condemned: number;
  /** Taken back, because something reaches it after all. */
  lifted: number;
  deleted: number;
  /** Condemned, and waiting for sessions to end or for the next run. */
  waiting: number;
  /** Why nothing was condemned or deleted. */
  blocked?: string;
}

export type CollectionResult = RunResult & TidyResult;

/** All of a vault's collection: what is condemned can go at once if no session is open. */
export async function collectVault(
  vault: Vault,
  options: CollectionOptions,
): Promise<CollectionResult> {
  const collection = new Collection(vault, options);
  let result = await collection.run();
  if (result.blocked === undefined && result.condemned > 0) {
    result = sumResults(result, await collection.run());
  }
  return { ...result, ...await tidyPacks(vault, options) };
}

/** Runs of one vault, one after another. Only the first one has to follow all links. */
export class Collection {
  readonly #vault: Vault;
  readonly #options: CollectionOptions;
  #marks = new Marks();

  constructor(vault: Vault, options: CollectionOptions) {
    this.#vault = vault;
    this.#options = options;
  }

  async run(): Promise<RunResult> {
    const vault = this.#vault;
    const { upkeep, sessions } = this.#options;
    const result = { condemned: 0, lifted: 0, deleted: 0 };
    // In this order: a session that has ended has its commit among the roots.
    const epoch = await upkeep.findEpoch(vault.number);
    const upTo = Math.min(await sessions.oldestEpoch(vault.number), epoch) - 1;
    const last = await upkeep.findLastRecord();
    await this.#mark();
    const marks = this.#marks;
    if (marks.unknown > 0) {
      // What lies below a damaged record is not known. It may be mended from a copy, or healed by a backup.
      this.#marks = new Marks();
      const waiting = await upkeep.countCondemned(vault.number);
      const blocked = `${marks.unknown} records that snapshots need are damaged or missing`;
      return { ...result, waiting, blocked };
    }
    const isNeeded = (number: number) => marks.has(number);
    await this.#condemn({ last, epoch, isNeeded, result });
    await this.#settle({ upTo, isNeeded, result });
    return { ...result, waiting: await upkeep.countCondemned(vault.number) };
  }

  /**
   * Adds what the snapshots of now reach. What they have reached in an earlier run keeps its mark: no row with a mark is
   * deleted, so its number is still its own.
   */
  async #mark(): Promise<void> {
    const { upkeep, throttle } = this.#options;
    const { reader, number: vaultNumber, journal } = this.#vault;
    const roots = joinRoots(journal.state);
    const last = await upkeep.findLastRecord(); // behind the roots: all that they reach has its row
    await this.#marks.add(roots, { vaultNumber, upkeep, reader, throttle, last });
  }

  async #condemn(
    { last, epoch, isNeeded, result }: Step & { last: number; epoch: number },
  ): Promise<void> {
    const { upkeep, throttle } = this.#options;
    const { number: vaultNumber } = this.#vault;
    const dead = await this.#findDead({ last, isNeeded });
    for (
      let after = -1, numbers: number[];
      (numbers = dead.listAfter(after, BATCH_ROWS)).length > 0;
    ) {
      result.condemned += await upkeep.condemn(vaultNumber, numbers, epoch);
      after = numbers[numbers.length - 1];
      await throttle.pause();
    }
    // What a run that was left off has condemned counts too.
    if (await upkeep.hasCondemned(vaultNumber, epoch)) await upkeep.startEpoch(vaultNumber);
  }

  /** Rows without a mark. They are found in the order of their ids, and changed in that of their numbers. */
  async #findDead({ last, isNeeded }: Pick<Step, "isNeeded"> & { last: number }): Promise<BitSet> {
    const { upkeep, throttle } = this.#options;
    const dead = new BitSet(last);
    let after: Uint8Array | undefined;
    do {
      const batch: Awaited<ReturnType<UpkeepDatabase["listNumbers"]>> = await upkeep.listNumbers(
        this.#vault.number,
        after,
      );
      for (const number of batch.numbers) if (number <= last && !isNeeded(number)) dead.add(number);
      after = batch.after;
      await throttle.pause();
    } while (after !== undefined);
    return dead;
  }

  async #settle({ upTo, isNeeded, result }: Step & { upTo: number }): Promise<void> {
    const { upkeep, throttle } = this.#options;
    let after: number | undefined = 0;
    while (after !== undefined) {
      const batch: Awaited<ReturnType<UpkeepDatabase["settleBatch"]>> = await upkeep.settleBatch(
        this.#vault.number,
        { after, upTo, isNeeded },
      );
      after = batch.after;
      result.lifted += batch.lifted;
      result.deleted += batch.deleted;
      await throttle.pause();
    }
  }
}

interface Step {
  isNeeded: (number: number) => boolean;
  result: { condemned: number; lifted: number; deleted: number };
}

function sumResults(first: RunResult, second: RunResult): RunResult {
  return {
    ...second,
    condemned: first.condemned + second.condemned,
    lifted: first.lifted + second.lifted,
    deleted: first.deleted + second.deleted,
  };
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
