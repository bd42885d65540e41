/**
 * What upkeep asks of the tables `records`, `packs` and `requests` (`db_schema.ts`): condemning, deleting and moving in
 * batches, each of them one transaction that is right by itself, so that a crash between two does no harm.
 */
import { type PackEntry, PackState } from "./db_records.ts";
import { RECORD_ID_BYTES, RecordType } from "./record.ts";
import type { Sqlite } from "./sqlite.ts";

/** Rows in one transaction: some 10 ms. */
export const BATCH_ROWS = 1024;
const NO_ID = new Uint8Array(0);

// What collection asks for all rows of a vault: nothing but the index is read, and many numbers come as one text, which
// makes little garbage.
const LIST_NUMBERS = `SELECT json_group_array(number) AS numbers, MAX(id) AS last FROM
  (SELECT number, id FROM records WHERE vault = ? AND id > ? ORDER BY id LIMIT ${BATCH_ROWS})`;
const FIND_NUMBERS = `WITH RECURSIVE places (at) AS
    (SELECT 1 UNION ALL SELECT at + ${RECORD_ID_BYTES} FROM places WHERE at + ${RECORD_ID_BYTES} < ?)
  SELECT json_group_array(number) AS numbers FROM places CROSS JOIN records
  WHERE vault = ? AND id = substr(?, at, ${RECORD_ID_BYTES})`;
const FIND_LINKING =
  `SELECT id, damaged FROM records WHERE number IN (SELECT value FROM json_each(?))
  AND type NOT IN (${RecordType.DATA}, ${RecordType.SESSION})`;

/** What is asked for again and again, once for each pack: none of these may look at all packs (tests/db_test.ts). */
export const PACK_QUERIES = {
  // With a plus, or the index by vault is used and what it gives is sorted.
  next: `SELECT number, name, bytes FROM packs WHERE +vault = ? AND number > ?
         AND state IN (${PackState.PRESENT}, ${PackState.GONE}) ORDER BY number LIMIT 1`,
  oldestOfVault: `SELECT number FROM packs
       WHERE vault = ? AND scrubbed < ? AND state = ${PackState.PRESENT}
       ORDER BY scrubbed, number LIMIT 1`,
  oldest: `SELECT number, vault FROM packs WHERE scrubbed < ? AND state = ${PackState.PRESENT}
       ORDER BY scrubbed LIMIT 1`,
  ofFuture: `SELECT number, vault FROM packs WHERE scrubbed > ? AND state = ${PackState.PRESENT}
       ORDER BY scrubbed LIMIT 1`,
} as const;

/** A pack, and what of it is still needed. */
export interface PackUse {
  number: number;
  name: string;
  bytes: number;
  /** Records that have their row here. */
  records: number;
  recordBytes: number;
  /** Of these: damaged or condemned. */
  unsound: number;
}

/** Where a record of a pack is. */
export interface PackedRecord extends PackEntry {
  damaged: boolean;
}

/** What a vault uses. */
export interface VaultUse {
  /** Size of its packs. */
  bytes: number;
  records: number;
  events: number;
  damaged: number;
  condemned: number;
  /** Ms since 1970; 0: never. */
  collectedMs: number;
}

/** What a command asks of the running server. */
export interface UpkeepRequest {
  number: number;
  kind: string;
  /** JSON. */
  detail: string;
}

export class UpkeepDatabase {
  readonly #sql: Sqlite;

  constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  /** The largest number of a record of any vault. */
  async findLastRecord(): Promise<number> {
    return this.#sql.number("SELECT COALESCE(MAX(number), 0) AS n FROM records");
  }

  /** The largest number of a pack of any vault. */
  async findLastPack(): Promise<number> {
    return this.#sql.number("SELECT COALESCE(MAX(number), 0) AS n FROM packs");
  }

  async findEpoch(vault: number): Promise<number> {
    return this.#sql.number("SELECT epoch AS n FROM vaults WHERE number = ?", vault);
  }

  /** Whether something was condemned in an epoch. */
  async hasCondemned(vault: number, epoch: number): Promise<boolean> {
    return this.#sql.get(
      "SELECT 1 FROM records WHERE vault = ? AND condemned IS NOT NULL AND condemned = ? LIMIT 1",
      vault,
      epoch,
    ) !== undefined;
  }

  async countCondemned(vault: number): Promise<number> {
    return this.#sql.number(
      "SELECT COUNT(*) AS n FROM records WHERE vault = ? AND condemned IS NOT NULL",
      vault,
    );
  }

  /** Numbers of the rows of these ids, one behind the other; nothing for those that have none. One turn's worth. */
  async findNumbers(vault: number, ids: Uint8Array): Promise<number[]> {
    return JSON.parse(this.#sql.get(FIND_NUMBERS, ids.length, vault, ids)!.numbers as string);
  }

  /** Those of these rows that are of records with links. One turn's worth. */
  async findLinking(numbers: number[]): Promise<{ id: Uint8Array; damaged: boolean }[]> {
    if (numbers.length === 0) return [];
    return this.#sql.all(FIND_LINKING, JSON.stringify(numbers))
      .map(({ id, damaged }) => ({ id: id as Uint8Array, damaged: damaged === 1 }));
  }

  /**
   * Numbers of the next rows of a vault, in the order of their ids: this reads nothing but the index.
   *
   * @param after id of the last row that was looked at; undefined at the beginning
   * @returns where it stopped; without an id at the end
   */
  async listNumbers(
    vault: number,
    after: Uint8Array | undefined,
  ): Promise<{ numbers: number[]; after: Uint8Array | undefined }> {
    const row = this.#sql.get(LIST_NUMBERS, vault, after ?? NO_ID)!;
    const numbers = JSON.parse(row.numbers as string);
    return { numbers, after: numbers.length < BATCH_ROWS ? undefined : row.last as Uint8Array };
  }

  /** Condemns those of these rows that are not. Numbers that lie together lie together in the database. */
  async condemn(vault: number, numbers: number[], epoch: number): Promise<number> {
    return this.#sql.run(
      `UPDATE records SET condemned = ?, complete = 0
       WHERE number IN (SELECT value FROM json_each(?)) AND +vault = ? AND +condemned IS NULL`,
      epoch,
      JSON.stringify(numbers),
      vault,
    );
  }

  /**
   * Ends an epoch in which something was condemned. From now on whoever opens a session hears that it is not there,
   * and nothing is known to be complete by it.
   */
  async startEpoch(vault: number): Promise<void> {
    this.#sql.run(
      "UPDATE vaults SET epoch = epoch + 1, generation = generation + 1 WHERE number = ?",
      vault,
    );
  }

  /**
   * Looks at the next condemned rows: takes back those that are needed, deletes the others if they were condemned up
   * to some epoch.
   */
  async settleBatch(
    vault: number,
    { after, upTo, isNeeded }: {
      after: number;
      upTo: number;
      isNeeded: (number: number) => boolean;
    },
  ): Promise<{ after: number | undefined; lifted: number; deleted: number }> {
    return this.#sql.transaction(() => {
      const rows = this.#sql.all(
        `SELECT number, condemned FROM records
         WHERE vault = ? AND condemned IS NOT NULL AND number > ?
         ORDER BY number LIMIT ${BATCH_ROWS}`,
        vault,
        after,
      ) as { number: number; condemned: number }[];
      const needed = rows.filter(({ number }) => isNeeded(number));
      const dead = rows.filter(({ number, condemned }) => !isNeeded(number) && condemned <= upTo);
      const lifted = this.#changeRows("UPDATE records SET condemned = NULL", needed);
      const deleted = this.#changeRows("DELETE FROM records", dead);
      const isEnd = rows.length < BATCH_ROWS;
      return { after: isEnd ? undefined : rows[rows.length - 1].number, lifted, deleted };
    });
  }

  /** @returns how many were changed */
  #changeRows(change: string, rows: { number: number }[]): number {
    if (rows.length === 0) return 0;
    return this.#sql.run(
      `${change} WHERE number IN (SELECT value FROM json_each(?))`,
      JSON.stringify(rows.map(({ number }) => number)),
    );
  }

  /** The next pack of a vault, in the order of their numbers, with what of it is needed. */
  async findPackUse(vault: number, after: number): Promise<PackUse | undefined> {
    const pack = this.#sql.get(PACK_QUERIES.next, vault, after);
    if (pack === undefined) return undefined;
    const use = this.#sql.get(
      `SELECT COUNT(*) AS records, COALESCE(SUM(size), 0) AS recordBytes,
         COALESCE(SUM(damaged = 1 OR condemned IS NOT NULL), 0) AS unsound
       FROM records WHERE pack = ?`,
      pack.number as number,
    );
    return { ...pack, ...use } as unknown as PackUse;
  }

  /** Records that have their row in a pack, in the order in which they lie there; at most one pack's. */
  async listPackRecords(pack: number): Promise<PackedRecord[]> {
    return this.#sql.all(
      "SELECT id, type, offset, size, damaged FROM records WHERE pack = ? ORDER BY offset",
      pack,
    ).map((row) => ({
      id: row.id as Uint8Array,
      type: row.type as RecordType,
      offset: row.offset as number,
      size: row.size as number,
      damaged: row.damaged === 1,
    }));
  }

  /** The pack of a vault that was not read whole for the longest time, if that was before this time. */
  async findScrubPack(vault: number, beforeMs: number): Promise<{ number: number } | undefined> {
    const row = this.#sql.get(PACK_QUERIES.oldestOfVault, vault, beforeMs);
    return row as { number: number } | undefined;
  }

  /** A pack of any vault that was read whole longer ago than `everyMs`, or in the future. */
  async findDuePack(
    nowMs: number,
    everyMs: number,
  ): Promise<{ number: number; vaultId: Uint8Array<ArrayBuffer> } | undefined> {
    const pack = this.#sql.get(PACK_QUERIES.oldest, nowMs - everyMs) ??
      this.#sql.get(PACK_QUERIES.ofFuture, nowMs);
    if (pack === undefined) return undefined;
    const vault = this.#sql.get("SELECT id FROM vaults WHERE number = ?", pack.vault as number)!;
    return { number: pack.number as number, vaultId: vault.id as Uint8Array<ArrayBuffer> };
  }

  async setScrubbed(pack: number, timeMs: number): Promise<void> {
    this.#sql.run("UPDATE packs SET scrubbed = ? WHERE number = ?", timeMs, pack);
  }

  async countDamaged(vault: number): Promise<number> {
    return this.#sql.number(
      "SELECT COUNT(*) AS n FROM records WHERE vault = ? AND damaged = 1",
      vault,
    );
  }

  /** Says that a pack is to be removed. False if something in it is needed after all. */
  async markRemoved(pack: number): Promise<boolean> {
    return this.#sql.run(
      `UPDATE packs SET state = ${PackState.REMOVED} WHERE number = ?
         AND NOT EXISTS (SELECT 1 FROM records WHERE pack = packs.number)`,
      pack,
    ) === 1;
  }

  /** Indexes a pack of records that were copied from other packs: those that still have a row lie here now. */
  async addMovedPack(
    vault: number,
    { name, bytes, entries }: { name: string; bytes: number; entries: PackEntry[] },
  ): Promise<void> {
    this.#sql.transaction(() => {
      this.#sql.run(
        `INSERT INTO packs (vault, name, bytes, state) VALUES (?, ?, ?, ${PackState.PRESENT})`,
        vault,
        name,
        bytes,
      );
      const pack = this.#sql.number(
        "SELECT number AS n FROM packs WHERE vault = ? AND name = ?",
        vault,
        name,
      );
      for (const { id, offset, size } of entries) {
        this.#sql.run(
          `UPDATE records SET pack = ?, offset = ?, damaged = 0
           WHERE vault = ? AND id = ? AND size = ?`,
          pack,
          offset,
          vault,
          id,
          size,
        );
      }
    });
  }

  /** When a vault was last collected, ms since 1970; 0: never. */
  async findCollected(vault: number): Promise<number> {
    return this.#sql.number("SELECT collected AS n FROM vaults WHERE number = ?", vault);
  }

  /** Id of a vault whose last collection is longer ago than `everyMs`, or in the future. */
  async findDueVault(
    nowMs: number,
    everyMs: number,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const row = this.#sql.get(
      "SELECT id FROM vaults WHERE collected < ? OR collected > ? ORDER BY collected LIMIT 1",
      nowMs - everyMs,
      nowMs,
    );
    return row?.id as Uint8Array<ArrayBuffer> | undefined;
  }

  /** Ids that begin so, hexadecimal; at most two. */
  async findVaultIds(begin: string): Promise<string[]> {
    return this.#sql.all(
      "SELECT lower(hex(id)) AS id FROM vaults WHERE substr(lower(hex(id)), 1, ?) = ? LIMIT 2",
      begin.length,
      begin,
    ).map(({ id }) => id as string);
  }

  async setCollected(vault: number, timeMs: number): Promise<void> {
    this.#sql.run("UPDATE vaults SET collected = ? WHERE number = ?", timeMs, vault);
  }

  /** Size of all packs of a vault. */
  async sumPackBytes(vault: number): Promise<number> {
    return this.#sql.number(
      `SELECT COALESCE(SUM(bytes), 0) AS n FROM packs
       WHERE vault = ? AND state = ${PackState.PRESENT}`,
      vault,
    );
  }

  /** Ids of all vaults, hexadecimal. For a command: a server has some thousands at most. */
  async listVaultIds(): Promise<string[]> {
    return this.#sql.all("SELECT lower(hex(id)) AS id FROM vaults ORDER BY id")
      .map(({ id }) => id as string);
  }

  async findVaultUse(vaultId: string): Promise<VaultUse | undefined> {
    const row = this.#sql.get(
      `SELECT
         (SELECT COALESCE(SUM(bytes), 0) FROM packs
          WHERE vault = v.number AND state = ${PackState.PRESENT}) AS bytes,
         (SELECT COUNT(*) FROM records WHERE vault = v.number) AS records,
         (SELECT COUNT(*) FROM events WHERE vault = v.number) AS events,
         (SELECT COUNT(*) FROM records WHERE vault = v.number AND damaged = 1) AS damaged,
         (SELECT COUNT(*) FROM records
          WHERE vault = v.number AND condemned IS NOT NULL) AS condemned,
         collected AS collectedMs
       FROM vaults v WHERE id = ?`,
      Uint8Array.fromHex(vaultId),
    );
    return row as VaultUse | undefined;
  }

  async addRequest(kind: string, detail: string): Promise<number> {
    return this.#sql.number(
      "INSERT INTO requests (kind, detail) VALUES (?, ?) RETURNING number AS n",
      kind,
      detail,
    );
  }

  /** The oldest request that has no answer. */
  async findRequest(): Promise<UpkeepRequest | undefined> {
    const row = this.#sql.get(
      "SELECT number, kind, detail FROM requests WHERE answer IS NULL ORDER BY number LIMIT 1",
    );
    return row as UpkeepRequest | undefined;
  }

  async answerRequest(number: number, answer: string): Promise<void> {
    this.#sql.run("UPDATE requests SET answer = ? WHERE number = ?", answer, number);
  }

  /** The answer to a request, which is then forgotten; undefined as long as there is none. */
  async takeAnswer(number: number): Promise<string | undefined> {
    const row = this.#sql.get("SELECT answer FROM requests WHERE number = ?", number);
    if (row !== undefined && row.answer === null) return undefined;
    await this.removeRequest(number);
    return row?.answer as string | undefined ?? "null";
  }

  async removeRequest(number: number): Promise<void> {
    this.#sql.run("DELETE FROM requests WHERE number = ?", number);
  }

  /** Requests to a server that has ended. */
  async removeRequests(): Promise<void> {
    this.#sql.run("DELETE FROM requests");
  }
}
