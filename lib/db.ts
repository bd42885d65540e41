/**
 * SQLite: who the clients are and which files they have. It is an index over what lies in the data folder, with one
 * writer, the server. The calls are asynchronous although `node:sqlite` is not: a database on another machine
 * can then take its place.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { HoldfastError } from "./errors.ts";

/**
 * The schema as a list of migrations: `PRAGMA user_version` counts how many have run. A migration that was released
 * is never changed; a new one is appended.
 */
const MIGRATIONS: readonly string[] = [
  `
  -- Clients of protocol version 3. Names of tables and columns are those of its course.
  CREATE TABLE clients (
    ID        BLOB PRIMARY KEY,          -- 16 bytes, drawn by the server
    Name      TEXT NOT NULL UNIQUE,      -- at most 254 bytes of UTF-8, compared byte by byte
    PublicKey BLOB,                      -- SubjectPublicKeyInfo, 160 bytes; NULL until it was sent
    LastSeen  TEXT NOT NULL,             -- ISO 8601, UTC: last registration, key exchange or file
    AESKey    BLOB                       -- 16 bytes, of the newest key exchange
  ) STRICT, WITHOUT ROWID;

  -- Files of clients whose checksum the client has confirmed. What is not confirmed has no row.
  CREATE TABLE files (
    ID        BLOB NOT NULL REFERENCES clients (ID),
    FileName  TEXT NOT NULL,             -- base name as the client gave it
    PathName  TEXT NOT NULL,             -- where it is, below the data folder, with '/'
    Verified  INTEGER NOT NULL,          -- 1: confirmed and there; 0: confirmed once, now missing
    Size      INTEGER NOT NULL,          -- bytes
    Checksum  INTEGER NOT NULL,          -- POSIX cksum
    StoredAt  TEXT NOT NULL,             -- ISO 8601, UTC
    PRIMARY KEY (ID, FileName)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** A row of `clients`. */
export interface ClientRow {
  id: Uint8Array;
  name: string;
  publicKey: Uint8Array | undefined;
  aesKey: Uint8Array<ArrayBuffer> | undefined;
}

/** A row of `files`. */
export interface FileRow {
  clientId: Uint8Array;
  fileName: string;
  pathName: string;
  verified: boolean;
  size: number;
  checksum: number;
  /** ISO 8601, UTC. */
  storedAt: string;
}

export class Database {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /**
   * Opens or creates the database and brings its schema up to date.
   *
   * @throws {HoldfastError} if it cannot be opened, is not a database, or was made by a newer version
   */
  static open(path: string): Database {
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(path);
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
      migrate(db);
      return new Database(db);
    } catch (cause) {
      db?.close();
      throw new HoldfastError(`Cannot open database ${path}`, { cause });
    }
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  /** Adds a client without keys. Returns false if its name, or its id, is taken. */
  async addClient(client: { id: Uint8Array; name: string; now: string }): Promise<boolean> {
    const { changes } = this.#run(
      "INSERT INTO clients (ID, Name, LastSeen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      client.id,
      client.name,
      client.now,
    );
    return changes === 1;
  }

  async findClient(id: Uint8Array): Promise<ClientRow | undefined> {
    const row = this.#prepare("SELECT ID, Name, PublicKey, AESKey FROM clients WHERE ID = ?").get(
      id,
    );
    if (row === undefined) return undefined;
    return {
      id: row.ID as Uint8Array,
      name: row.Name as string,
      publicKey: (row.PublicKey ?? undefined) as Uint8Array | undefined,
      aesKey: (row.AESKey ?? undefined) as Uint8Array<ArrayBuffer> | undefined,
    };
  }

  async countClients(): Promise<number> {
    return this.#number("SELECT COUNT(*) AS n FROM clients");
  }

  /** Keeps a client's keys. A public key that is there already stays; the AES key is replaced. */
  async setKeys(
    id: Uint8Array,
    keys: { publicKey: Uint8Array; aesKey: Uint8Array; now: string },
  ): Promise<void> {
    this.#run(
      "UPDATE clients SET PublicKey = COALESCE(PublicKey, ?), AESKey = ?, LastSeen = ? WHERE ID = ?",
      keys.publicKey,
      keys.aesKey,
      keys.now,
      id,
    );
  }

  /** Adds a verified file, or replaces the one of the same client and name. */
  async putFile(file: Omit<FileRow, "verified">): Promise<void> {
    const { clientId, fileName, pathName, size, checksum, storedAt } = file;
    this.#transaction(() => {
      this.#run(
        `INSERT INTO files (ID, FileName, PathName, Verified, Size, Checksum, StoredAt)
         VALUES (?, ?, ?, 1, ?, ?, ?)
         ON CONFLICT (ID, FileName) DO UPDATE SET PathName = excluded.PathName, Verified = 1,
           Size = excluded.Size, Checksum = excluded.Checksum, StoredAt = excluded.StoredAt`,
        clientId,
        fileName,
        pathName,
        size,
        checksum,
        storedAt,
      );
      this.#run("UPDATE clients SET LastSeen = ? WHERE ID = ?", storedAt, clientId);
    });
  }

  /** Notes that a file, verified once, is no longer there. */
  async markMissing(file: { clientId: Uint8Array; fileName: string }): Promise<void> {
    this.#run(
      "UPDATE files SET Verified = 0 WHERE ID = ? AND FileName = ?",
      file.clientId,
      file.fileName,
    );
  }

  async findFile(clientId: Uint8Array, fileName: string): Promise<FileRow | undefined> {
    const row = this.#prepare("SELECT * FROM files WHERE ID = ? AND FileName = ?")
      .get(clientId, fileName);
    return row === undefined ? undefined : decodeFileRow(row);
  }

  /** All files of all clients, one at a time. The database must not be changed meanwhile. */
  async *listFiles(): AsyncGenerator<FileRow> {
    for (const row of this.#prepare("SELECT * FROM files").iterate()) yield decodeFileRow(row);
  }

  /** Bytes of the verified files of one client. */
  async sumClientBytes(clientId: Uint8Array): Promise<number> {
    return this.#number(
      "SELECT COALESCE(SUM(Size), 0) AS n FROM files WHERE ID = ? AND Verified = 1",
      clientId,
    );
  }

  /** Bytes of the verified files of all clients. */
  async sumBytes(): Promise<number> {
    return this.#number("SELECT COALESCE(SUM(Size), 0) AS n FROM files WHERE Verified = 1");
  }

  #number(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).get(...values)!.n);
  }

  #run(sql: string, ...values: SQLInputValue[]): { changes: number } {
    return { changes: Number(this.#prepare(sql).run(...values).changes) };
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

function migrate(db: DatabaseSync): void {
  const version = Number(db.prepare("PRAGMA user_version").get()!.user_version);
  if (version > MIGRATIONS.length) {
    throw new HoldfastError(
      `Cannot use schema ${version}: this program knows ${MIGRATIONS.length}`,
      {
        hint: "the data folder was used by a newer server; start that one",
      },
    );
  }
  for (let next = version; next < MIGRATIONS.length; next++) {
    db.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[next]} PRAGMA user_version = ${next + 1}; COMMIT`);
  }
}

function decodeFileRow(row: Record<string, unknown>): FileRow {
  return {
    clientId: row.ID as Uint8Array,
    fileName: row.FileName as string,
    pathName: row.PathName as string,
    verified: row.Verified === 1,
    size: row.Size as number,
    checksum: row.Checksum as number,
    storedAt: row.StoredAt as string,
  };
}
