/**
 * The tables `packs` and `records` (`db_schema.ts`): where each record of each vault is. Every statement names the
 * vault. One transaction for a pack, never one for a row.
 */
import { RecordType } from "./record.ts";
import type { Sqlite, SqlRow } from "./sqlite.ts";

/** Ids in one question about all of them. */
const IDS_PER_LOOKUP = 64;
/** Of these, how many are there, undamaged, in force, and complete: what links nothing always is. */
const COUNT_COMPLETE = `SELECT count(*) AS n FROM records
  WHERE vault = ? AND id IN (${Array(IDS_PER_LOOKUP).fill("?").join()})
  AND damaged = 0 AND condemned IS NULL
  AND (type IN (${RecordType.DATA}, ${RecordType.SESSION}) OR complete = ?)`;

/** Look-ups in one turn of the event loop: about 10 ms. */
const LOOKUPS_PER_TURN = 1024;

export const PackState = { GONE: 0, PRESENT: 1, UNINDEXED: 2, REMOVED: 3 } as const;
export type PackState = typeof PackState[keyof typeof PackState];

/** A row of `packs`. */
export interface PackRow {
  number: number;
  name: string;
  bytes: number;
  state: PackState;
}

/** Where a record is in its pack. */
export interface PackEntry {
  /** 32 bytes. */
  id: Uint8Array;
  type: RecordType;
  /** Of the record itself, in bytes. */
  offset: number;
  size: number;
}

/** A row of `records`. */
export interface RecordRow {
  number: number;
  type: RecordType;
  pack: number;
  offset: number;
  size: number;
  damaged: boolean;
  /** Generation of the vault, or 0. */
  complete: number;
  isCondemned: boolean;
}

const FIND_RECORD =
  `SELECT number, type, pack, offset, size, damaged, complete, condemned FROM records
   WHERE vault = ? AND id = ?`;

/** Where a record lay when it was read; it may be elsewhere by now. */
export interface RecordPlace {
  id: Uint8Array;
  pack: number;
  offset: number;
}

export class RecordDatabase {
  readonly #sql: Sqlite;

  constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  async findRecord(vault: number, id: Uint8Array): Promise<RecordRow | undefined> {
    const row = this.#sql.get(FIND_RECORD, vault, id);
    return row && decodeRecordRow(row);
  }

  /** The rows of many ids, in the order of the ids. */
  async findRecords(vault: number, ids: Uint8Array[]): Promise<(RecordRow | undefined)[]> {
    const rows: (RecordRow | undefined)[] = [];
    for (const id of ids) {
      if (rows.length > 0 && rows.length % LOOKUPS_PER_TURN === 0) await nextTurn();
      const row = this.#sql.get(FIND_RECORD, vault, id);
      rows.push(row && decodeRecordRow(row));
    }
    return rows;
  }

  /**
   * Whether all of these are there with all that they reach, as far as that is noted: a quarter of the time that it takes
   * to find them one by one.
   */
  async areComplete(vault: number, ids: Uint8Array[], generation: number): Promise<boolean> {
    for (let from = 0; from < ids.length; from += IDS_PER_LOOKUP) {
      if (from > 0 && from % LOOKUPS_PER_TURN === 0) await nextTurn();
      const some = ids.slice(from, from + IDS_PER_LOOKUP);
      const asked = [...some, ...Array(IDS_PER_LOOKUP - some.length).fill(some[0])];
      const count = this.#sql.number(COUNT_COMPLETE, vault, ...asked, generation);
      if (count < some.length) return false; // or one stands there twice, and whoever asks looks closer
    }
    return true;
  }

  /**
   * Indexes a pack and its records in one transaction. A record that is there and undamaged in another pack stays
   * there; a damaged one is healed, and a condemned one lifted.
   */
  async addPack(
    vault: number,
    { name, bytes, entries }: { name: string; bytes: number; entries: PackEntry[] },
  ): Promise<void> {
    this.#sql.transaction(() => {
      this.#sql.run(
        `INSERT INTO packs (vault, name, bytes, state) VALUES (?, ?, ?, ${PackState.PRESENT})
         ON CONFLICT (vault, name) DO UPDATE SET bytes = excluded.bytes, state = excluded.state`,
        vault,
        name,
        bytes,
      );
      const pack = this.#sql.number(
        "SELECT number AS n FROM packs WHERE vault = ? AND name = ?",
        vault,
        name,
      );
      for (const entry of entries) this.#addRecord(vault, pack, entry);
    });
  }

  /** Notes a pack whose contents are to be indexed later, in the order of the names. */
  async addUnindexedPack(
    vault: number,
    { name, bytes }: { name: string; bytes: number },
  ): Promise<void> {
    this.#sql.run(
      `INSERT INTO packs (vault, name, bytes, state) VALUES (?, ?, ?, ${PackState.UNINDEXED})
       ON CONFLICT (vault, name) DO UPDATE SET bytes = excluded.bytes, state = excluded.state`,
      vault,
      name,
      bytes,
    );
  }

  /** The youngest pack that is to be indexed. */
  async findUnindexedPack(vault: number): Promise<PackRow | undefined> {
    const row = this.#sql.get(
      `SELECT number, name, bytes, state FROM packs
       WHERE vault = ? AND state = ${PackState.UNINDEXED} ORDER BY name DESC LIMIT 1`,
      vault,
    );
    return row as PackRow | undefined;
  }

  async findPack(vault: number, name: string): Promise<PackRow | undefined> {
    const row = this.#sql.get(
      "SELECT number, name, bytes, state FROM packs WHERE vault = ? AND name = ?",
      vault,
      name,
    );
    return row as PackRow | undefined;
  }

  /** The largest number of a pack of any vault. */
  async findLastPack(): Promise<number> {
    return this.#sql.number("SELECT COALESCE(MAX(number), 0) AS n FROM packs");
  }

  async findPackName(vault: number, pack: number): Promise<string | undefined> {
    return this.#sql.get("SELECT name FROM packs WHERE vault = ? AND number = ?", vault, pack)
      ?.name as string | undefined;
  }

  /** Packs that are there by their rows. The database must not be changed meanwhile. */
  async *listPacks(vault: number): AsyncGenerator<PackRow> {
    const rows = this.#sql.iterate(
      `SELECT number, name, bytes, state FROM packs
       WHERE vault = ? AND state NOT IN (${PackState.GONE}, ${PackState.REMOVED})`,
      vault,
    );
    for (const row of rows) yield row as unknown as PackRow;
  }

  /** Takes the rows of packs that were removed, and whose files are gone. */
  async forgetRemovedPacks(vault: number): Promise<void> {
    this.#sql.run(`DELETE FROM packs WHERE vault = ? AND state = ${PackState.REMOVED}`, vault);
  }

  /** The file of a pack is gone, or ends before `bytes`: what lay there is damaged. */
  async markPackCut(vault: number, pack: number, bytes: number): Promise<void> {
    this.#sql.transaction(() => {
      this.#sql.run(
        "UPDATE packs SET bytes = ?, state = ? WHERE number = ?",
        bytes,
        bytes === 0 ? PackState.GONE : PackState.PRESENT,
        pack,
      );
      this.#sql.run(
        "UPDATE records SET damaged = 1 WHERE vault = ? AND pack = ? AND offset + size > ?",
        vault,
        pack,
        bytes,
      );
      this.#startGeneration(vault);
    });
  }

  /**
   * Records whose bytes are wrong where they were read. Nothing that reaches them is complete any more. One that lies
   * elsewhere by now is left alone. Returns how many were marked.
   */
  async markDamaged(
    vault: number,
    places: RecordPlace[],
  ): Promise<number> {
    return this.#sql.transaction(() => {
      const count = this.#setDamaged(1, vault, places);
      if (count > 0) this.#startGeneration(vault);
      return count;
    });
  }

  /** Records that were damaged and are right where they lie. Returns how many were marked. */
  async markMended(
    vault: number,
    places: RecordPlace[],
  ): Promise<number> {
    return this.#sql.transaction(() => this.#setDamaged(0, vault, places));
  }

  /** Records below which all was found in this generation of the vault. */
  async markComplete(vault: number, numbers: number[], generation: number): Promise<void> {
    this.#sql.transaction(() => {
      for (const number of numbers) {
        this.#sql.run(
          "UPDATE records SET complete = ? WHERE vault = ? AND number = ?",
          generation,
          vault,
          number,
        );
      }
    });
  }

  /** Takes records back from collection. Returns false if one of them was deleted meanwhile. */
  async liftCondemned(
    vault: number,
    records: { id: Uint8Array; number: number }[],
  ): Promise<boolean> {
    return this.#sql.transaction(() => {
      let count = 0;
      for (const { id, number } of records) {
        // By id too: numbers are used again.
        count += this.#sql.run(
          "UPDATE records SET condemned = NULL WHERE vault = ? AND id = ? AND number = ?",
          vault,
          id,
          number,
        );
      }
      return count === records.length;
    });
  }

  /** Whether a record is there and undamaged; if so it is taken back from collection, in the same breath. */
  async keepRecord(vault: number, id: Uint8Array): Promise<boolean> {
    const row = this.#sql.get(FIND_RECORD, vault, id);
    if (row === undefined || row.damaged === 1) return false;
    if (row.condemned !== null) {
      this.#sql.run("UPDATE records SET condemned = NULL WHERE vault = ? AND id = ?", vault, id);
    }
    return true;
  }

  async findGeneration(vault: number): Promise<number> {
    return this.#sql.number("SELECT generation AS n FROM vaults WHERE number = ?", vault);
  }

  #addRecord(vault: number, pack: number, { id, type, offset, size }: PackEntry): void {
    this.#sql.run(
      `INSERT INTO records (vault, id, type, pack, offset, size, damaged, complete, condemned)
       VALUES (?, ?, ?, ?, ?, ?, 0, 0, NULL)
       ON CONFLICT (vault, id) DO UPDATE SET pack = excluded.pack, offset = excluded.offset,
         size = excluded.size, type = excluded.type, damaged = 0, complete = 0, condemned = NULL
       WHERE damaged = 1 OR condemned IS NOT NULL`,
      vault,
      id,
      type,
      pack,
      offset,
      size,
    );
  }

  #setDamaged(damaged: 0 | 1, vault: number, places: RecordPlace[]): number {
    let count = 0;
    for (const { id, pack, offset } of places) {
      count += this.#sql.run(
        `UPDATE records SET damaged = ?
         WHERE vault = ? AND id = ? AND pack = ? AND offset = ? AND damaged <> ?`,
        damaged,
        vault,
        id,
        pack,
        offset,
        damaged,
      );
    }
    return count;
  }

  #startGeneration(vault: number): void {
    this.#sql.run("UPDATE vaults SET generation = generation + 1 WHERE number = ?", vault);
  }
}

function decodeRecordRow(row: SqlRow): RecordRow {
  return {
    number: row.number as number,
    type: row.type as RecordType,
    pack: row.pack as number,
    offset: row.offset as number,
    size: row.size as number,
    damaged: row.damaged === 1,
    complete: row.complete as number,
    isCondemned: row.condemned !== null,
  };
}

/** Lets others have the thread. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
