/**
 * The column `parity` of the table `packs` (`db_schema.ts`): which packs have a parity file. It is an index over these
 * files, as the rest of the table is over packs.
 */
import { type PackState, PackState as State } from "./db_records.ts";
import type { Sqlite } from "./sqlite.ts";

/** In place of a size: the pack was not what it was when it was to get its parity. */
export const UNSOUND = -1;

/** Asked for once for each pack: it may not look at all packs (tests/db_test.ts). */
export const BARE_QUERY = `SELECT number, vault, name FROM packs
  WHERE parity = 0 AND state = ${State.PRESENT} ORDER BY number LIMIT 1`;

/** A pack, and what is known of its parity. */
export interface ParityRow {
  number: number;
  name: string;
  bytes: number;
  state: PackState;
  /** Size of its parity file; 0: none, or {@link UNSOUND}. */
  parity: number;
}

/** A pack that has no parity. */
export interface BarePack {
  vault: { number: number; id: Uint8Array };
  number: number;
  name: string;
}

const COLUMNS = "number, name, bytes, state, parity";

export class ParityDatabase {
  readonly #sql: Sqlite;

  constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  async find(pack: number): Promise<ParityRow | undefined> {
    const row = this.#sql.get(`SELECT ${COLUMNS} FROM packs WHERE number = ?`, pack);
    return row as ParityRow | undefined;
  }

  async findByName(vault: number, name: string): Promise<ParityRow | undefined> {
    const sql = `SELECT ${COLUMNS} FROM packs WHERE vault = ? AND name = ?`;
    return this.#sql.get(sql, vault, name) as ParityRow | undefined;
  }

  /** A pack of any vault that has none, and was not found unsound. */
  async findBare(): Promise<BarePack | undefined> {
    const row = this.#sql.get(BARE_QUERY);
    if (row === undefined) return undefined;
    const vault = this.#sql.get(
      "SELECT number, id FROM vaults WHERE number = ?",
      row.vault as number,
    );
    return { ...row, vault } as unknown as BarePack;
  }

  /** The next pack of a vault that has none, in the order of their numbers. */
  async findBareOf(vault: number, after: number): Promise<ParityRow | undefined> {
    const row = this.#sql.get(
      `SELECT ${COLUMNS} FROM packs
       WHERE vault = ? AND number > ? AND parity <= 0 AND state = ${State.PRESENT}
       ORDER BY number LIMIT 1`,
      vault,
      after,
    );
    return row as ParityRow | undefined;
  }

  async countBareOf(vault: number): Promise<number> {
    return this.#sql.number(
      `SELECT COUNT(*) AS n FROM packs
       WHERE vault = ? AND parity <= 0 AND state = ${State.PRESENT}`,
      vault,
    );
  }

  /** Packs of a vault that have one by the index, and that `isThere` says no to. */
  async findLost(vault: number, isThere: (pack: number) => boolean): Promise<ParityRow[]> {
    const rows = this.#sql.iterate(
      `SELECT ${COLUMNS} FROM packs WHERE vault = ? AND parity > 0`,
      vault,
    );
    const lost: ParityRow[] = [];
    for (const row of rows) {
      if (!isThere(row.number as number)) lost.push(row as unknown as ParityRow);
    }
    return lost;
  }

  /** By number and name: numbers are used again. False if there is no such pack any more, or it is to be removed. */
  async setParity(
    { number, name }: Pick<ParityRow, "number" | "name">,
    parity: number,
  ): Promise<boolean> {
    return this.#sql.run(
      `UPDATE packs SET parity = ? WHERE number = ? AND name = ? AND state <> ${State.REMOVED}`,
      parity,
      number,
      name,
    ) === 1;
  }

  /** A pack is as large again as it was. False if there is no such pack any more, or it is to be removed. */
  async setBytes(
    { number, name }: Pick<ParityRow, "number" | "name">,
    bytes: number,
  ): Promise<boolean> {
    return this.#sql.run(
      `UPDATE packs SET bytes = ? WHERE number = ? AND name = ? AND state <> ${State.REMOVED}`,
      bytes,
      number,
      name,
    ) === 1;
  }

  /** All parity of a vault is gone. */
  async clear(vault: number): Promise<void> {
    this.#sql.run("UPDATE packs SET parity = 0 WHERE vault = ? AND parity <> 0", vault);
  }
}
