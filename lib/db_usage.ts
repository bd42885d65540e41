/**
 * What vaults take and hold (`db_schema.ts`), counted for people and for monitoring. The exact counts read every row of a
 * vault: a command makes them over a connection of its own, so that the server's thread is not kept.
 */
import { PackState } from "./db_records.ts";
import type { Sqlite } from "./sqlite.ts";

/** Exact; takes about a second for a million records. All sizes in bytes. */
export interface VaultUsage {
  packs: number;
  /** Size of the pack files that are there. */
  packBytes: number;
  /** Packs that have parity, and the size of it; it is in none of the other sizes. */
  parityPacks: number;
  parityBytes: number;
  /** Records that are in force: neither damaged nor condemned. */
  liveRecords: number;
  liveBytes: number;
  /** Not needed by any snapshot, and waiting to be deleted. */
  condemnedRecords: number;
  condemnedBytes: number;
  /** Not what they were; healed by the next backup that has the contents. */
  damagedRecords: number;
  damagedBytes: number;
  events: number;
  /** Size of its journal. */
  journalBytes: number;
}

export interface NamedPack {
  number: number;
  name: string;
  bytes: number;
}

/** Quick: reads one row for each pack and each damaged record at most. Of all vaults together. */
export interface StoreTotals {
  vaults: number;
  packs: number;
  packBytes: number;
  /** Size of the parity of packs, and how many have none. */
  parityBytes: number;
  barePacks: number;
  damagedRecords: number;
  /** Backup sessions that are open. */
  sessions: number;
  /** Oldest last collection of a vault, and oldest last comparison of a pack, ms since 1970; 0: one never was. */
  collectedMs: number;
  scrubbedMs: number;
}

/** What stands around each event in its journal file: its size 4, its hash 32. */
const EVENT_OVERHEAD_BYTES = 36;

export class UsageDatabase {
  readonly #sql: Sqlite;

  constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  /** Undefined if there is no such vault. @param vaultId hexadecimal */
  async findVaultUsage(vaultId: string): Promise<VaultUsage | undefined> {
    const id = Uint8Array.fromHex(vaultId);
    const vault = this.#sql.get("SELECT number FROM vaults WHERE id = ?", id)?.number as number;
    if (vault === undefined) return undefined;
    return this.#sql.reading(() => ({
      ...this.#sql.get(
        `SELECT COUNT(*) AS packs, COALESCE(SUM(bytes), 0) AS packBytes,
           COALESCE(SUM(parity > 0), 0) AS parityPacks, COALESCE(SUM(MAX(parity, 0)), 0) AS parityBytes
         FROM packs
         WHERE vault = ? AND state = ${PackState.PRESENT}`,
        vault,
      ),
      ...this.#sql.get(
        `SELECT
           COALESCE(SUM(damaged = 0 AND condemned IS NULL), 0) AS liveRecords,
           COALESCE(SUM(CASE WHEN damaged = 0 AND condemned IS NULL THEN size END), 0) AS liveBytes,
           COALESCE(SUM(damaged = 0 AND condemned IS NOT NULL), 0) AS condemnedRecords,
           COALESCE(SUM(CASE WHEN damaged = 0 AND condemned IS NOT NULL THEN size END), 0)
             AS condemnedBytes,
           COALESCE(SUM(damaged = 1), 0) AS damagedRecords,
           COALESCE(SUM(CASE WHEN damaged = 1 THEN size END), 0) AS damagedBytes
         FROM records WHERE vault = ?`,
        vault,
      ),
      ...this.#sql.get(
        `SELECT COUNT(*) AS events, COALESCE(SUM(size + ${EVENT_OVERHEAD_BYTES}), 0) AS journalBytes
         FROM events WHERE vault = ?`,
        vault,
      ),
    } as unknown as VaultUsage));
  }

  /**
   * Packs of a vault that `isCopied` says no to, in the order of their names: at most `max` behind the name `after`, all as
   * of one moment. If `isEnd`, there are no more.
   */
  async findUncopied(
    vault: number,
    { after, max, isCopied }: { after: string; max: number; isCopied: (name: string) => boolean },
  ): Promise<{ packs: NamedPack[]; isEnd: boolean }> {
    return this.#sql.reading(() => {
      const packs: NamedPack[] = [];
      const rows = this.#sql.iterate(
        `SELECT number, name, bytes FROM packs
         WHERE vault = ? AND state = ${PackState.PRESENT} AND name > ? ORDER BY name`,
        vault,
        after,
      );
      for (const row of rows) {
        if (isCopied(row.name as string)) continue;
        packs.push(row as unknown as NamedPack);
        if (packs.length === max) return { packs, isEnd: false };
      }
      return { packs, isEnd: true };
    });
  }

  /** How many packs a vault has, and when they were read back and compared (see `Usage` of the protocol). */
  async findPackReads(
    vault: number,
  ): Promise<{ packs: number; unread: number; oldestReadMs: number }> {
    const row = this.#sql.get(
      `SELECT COUNT(*) AS packs, COALESCE(SUM(scrubbed = 0), 0) AS unread,
         COALESCE(MIN(CASE WHEN scrubbed > 0 THEN scrubbed END), 0) AS oldestReadMs
       FROM packs WHERE vault = ? AND state = ${PackState.PRESENT}`,
      vault,
    );
    return row as unknown as { packs: number; unread: number; oldestReadMs: number };
  }

  async findTotals(): Promise<StoreTotals> {
    const row = this.#sql.get(
      `SELECT (SELECT COUNT(*) FROM vaults) AS vaults, COUNT(*) AS packs,
         COALESCE(SUM(bytes), 0) AS packBytes,
         COALESCE(SUM(MAX(parity, 0)), 0) AS parityBytes,
         COALESCE(SUM(parity <= 0), 0) AS barePacks,
         (SELECT COUNT(*) FROM records WHERE damaged = 1) AS damagedRecords,
         (SELECT COUNT(*) FROM sessions WHERE fenced = 0) AS sessions,
         (SELECT COALESCE(MIN(collected), 0) FROM vaults) AS collectedMs,
         COALESCE(MIN(scrubbed), 0) AS scrubbedMs
       FROM packs WHERE state = ${PackState.PRESENT}`,
    );
    return row as unknown as StoreTotals;
  }

  /** Classic files that were confirmed and are there. */
  async sumClassic(): Promise<{ clients: number; files: number; bytes: number }> {
    const row = this.#sql.get(
      `SELECT (SELECT COUNT(*) FROM clients) AS clients, COUNT(*) AS files,
         COALESCE(SUM(Size), 0) AS bytes FROM files WHERE Verified = 1`,
    );
    return row as unknown as { clients: number; files: number; bytes: number };
  }
}
