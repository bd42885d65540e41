/**
 * SQLite: who the clients of protocol version 3 are and which files they have; `db_vault.ts` and `db_records.ts` have
 * what version 4 keeps. It is an index over what lies in the data folder, with one writer, the server. The calls are
 * asynchronous although `node:sqlite` is not: a database on another machine can then take its place.
 */
import { MIGRATIONS } from "./db_schema.ts";
import { Sqlite } from "./sqlite.ts";

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
  readonly #sql: Sqlite;

  private constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  /**
   * Opens or creates the database and brings its schema up to date.
   *
   * @throws {HoldfastError} if it cannot be opened, is not a database, or was made by a newer version
   */
  static open(path: string): Database {
    return new Database(Sqlite.open(path, MIGRATIONS));
  }

  close(): void {
    this.#sql.close();
  }

  /** The same file, for the tables of protocol version 4. */
  get sql(): Sqlite {
    return this.#sql;
  }

  /** Adds a client without keys. Returns false if its name, or its id, is taken. */
  async addClient(client: { id: Uint8Array; name: string; now: string }): Promise<boolean> {
    const changes = this.#sql.run(
      "INSERT INTO clients (ID, Name, LastSeen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      client.id,
      client.name,
      client.now,
    );
    return changes === 1;
  }

  async findClient(id: Uint8Array): Promise<ClientRow | undefined> {
    const row = this.#sql.get("SELECT ID, Name, PublicKey, AESKey FROM clients WHERE ID = ?", id);
    if (row === undefined) return undefined;
    return {
      id: row.ID as Uint8Array,
      name: row.Name as string,
      publicKey: (row.PublicKey ?? undefined) as Uint8Array | undefined,
      aesKey: (row.AESKey ?? undefined) as Uint8Array<ArrayBuffer> | undefined,
    };
  }

  async countClients(): Promise<number> {
    return this.#sql.number("SELECT COUNT(*) AS n FROM clients");
  }

  /** Keeps a client's keys. A public key that is there already stays; the AES key is replaced. */
  async setKeys(
    id: Uint8Array,
    keys: { publicKey: Uint8Array; aesKey: Uint8Array; now: string },
  ): Promise<void> {
    this.#sql.run(
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
    this.#sql.transaction(() => {
      this.#sql.run(
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
      this.#sql.run("UPDATE clients SET LastSeen = ? WHERE ID = ?", storedAt, clientId);
    });
  }

  /** Notes that a file, verified once, is no longer there. */
  async markMissing(file: { clientId: Uint8Array; fileName: string }): Promise<void> {
    this.#sql.run(
      "UPDATE files SET Verified = 0 WHERE ID = ? AND FileName = ?",
      file.clientId,
      file.fileName,
    );
  }

  async findFile(clientId: Uint8Array, fileName: string): Promise<FileRow | undefined> {
    const row = this.#sql.get(
      "SELECT * FROM files WHERE ID = ? AND FileName = ?",
      clientId,
      fileName,
    );
    return row === undefined ? undefined : decodeFileRow(row);
  }

  /** All files of all clients, one at a time. The database must not be changed meanwhile. */
  async *listFiles(): AsyncGenerator<FileRow> {
    for (const row of this.#sql.iterate("SELECT * FROM files")) yield decodeFileRow(row);
  }

  /** Bytes of the verified files of one client. */
  async sumClientBytes(clientId: Uint8Array): Promise<number> {
    return this.#sql.number(
      "SELECT COALESCE(SUM(Size), 0) AS n FROM files WHERE ID = ? AND Verified = 1",
      clientId,
    );
  }

  /** Bytes of the verified files of all clients. */
  async sumBytes(): Promise<number> {
    return this.#sql.number("SELECT COALESCE(SUM(Size), 0) AS n FROM files WHERE Verified = 1");
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
