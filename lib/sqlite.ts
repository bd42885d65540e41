/**
 * A SQLite file with a schema that is brought up to date, prepared statements, and transactions: what `db.ts` and its
 * neighbours stand on. One process writes; short writes of another one (`server invite`) are waited for.
 */
import { backup, DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { isNoSpace } from "./durable.ts";
import { HoldfastError } from "./errors.ts";

/** How long a write of another process is waited for, in milliseconds. */
const BUSY_MS = 5000;

/** More pages than a database has here. */
const PAGES_MAX = 2 ** 31 - 1;

export type SqlRow = Record<string, unknown>;

export class Sqlite {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Makes room on a full disk, at once; false if there is none. What failed is then done again. */
  onFull: () => boolean = () => false;

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /**
   * Opens or creates a database and runs the migrations that it has not had.
   *
   * @throws {HoldfastError} if it cannot be opened, is not a database, or was made by a newer version
   */
  static open(path: string, migrations: readonly string[]): Sqlite {
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(path, { timeout: BUSY_MS });
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
      migrate(db, migrations);
      return new Sqlite(db);
    } catch (cause) {
      db?.close();
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError(`Cannot open database ${path}`, { cause });
    }
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  /** The first row, if there is one. */
  get(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    return this.#prepare(sql).get(...values);
  }

  /** All rows, one at a time. The database must not be changed meanwhile. */
  iterate(sql: string, ...values: SQLInputValue[]): IterableIterator<SqlRow> {
    return this.#prepare(sql).iterate(...values);
  }

  /** All rows. For queries with a bound. */
  all(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    return this.#prepare(sql).all(...values);
  }

  /** A change. Returns how many rows it touched. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#withRoom(() => Number(this.#prepare(sql).run(...values).changes));
  }

  /** The column `n` of a query that always has one row. */
  number(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.get(sql, ...values)!.n);
  }

  /** Changes that are made all together and durably, or not at all. */
  transaction<T>(work: () => T): T {
    return this.#withRoom(() => this.#transaction(work));
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** Reads that all see the same state, whatever others write meanwhile; nobody waits for them. */
  reading<T>(work: () => T): T {
    this.#db.exec("BEGIN");
    try {
      return work();
    } finally {
      this.#db.exec("COMMIT");
    }
  }

  /**
   * Copies the database as it is now into an empty file, in one go: others may write meanwhile. The runtime does not allow
   * `VACUUM INTO`. The copy is not flushed.
   */
  async copyInto(path: string): Promise<void> {
    await backup(this.#db, path, { rate: PAGES_MAX });
  }

  /** Whether all of the database can be read and hangs together. */
  isSound(): boolean {
    return this.get("PRAGMA quick_check(1)")!.quick_check === "ok";
  }

  /** A change within a transaction is not done again by itself. */
  #withRoom<T>(change: () => T): T {
    try {
      return change();
    } catch (error) {
      if (this.#db.isTransaction || !isNoSpace(error) || !this.onFull()) throw error;
      return change();
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

function migrate(db: DatabaseSync, migrations: readonly string[]): void {
  const readVersion = () => Number(db.prepare("PRAGMA user_version").get()!.user_version);
  const version = readVersion();
  if (version > migrations.length) {
    throw new HoldfastError(
      `Cannot use schema ${version}: this program knows ${migrations.length}`,
      {
        hint: "the data folder was used by a newer server; start that one",
      },
    );
  }
  if (version === migrations.length) return;
  db.exec("BEGIN IMMEDIATE"); // another process may have begun the same
  for (let next = readVersion(); next < migrations.length; next++) {
    db.exec(`${migrations[next]} PRAGMA user_version = ${next + 1}`);
  }
  db.exec("COMMIT");
}
