/**
 * The tables of protocol version 4 but for packs and records: vaults, where their events stand, backup sessions,
 * invites, settings. What each column means is in `db_schema.ts`.
 */
import type { Sqlite, SqlRow } from "./sqlite.ts";

/** A row of `vaults`. */
export interface VaultRow {
  number: number;
  id: Uint8Array<ArrayBuffer>;
  epoch: number;
  generation: number;
}

/** A row of `events`. */
export interface EventRow {
  number: number;
  hash: Uint8Array<ArrayBuffer>;
  /** Hash of the statement. */
  statement: Uint8Array;
  /** Of the event itself in the journal file, in bytes. */
  offset: number;
  size: number;
}

/** A row of `sessions`. */
export interface SessionRow {
  id: Uint8Array;
  device: Uint8Array;
  epoch: number;
  fenced: boolean;
}

/** A row of `invites`. */
export interface InviteRow {
  /** Undefined: to found a new vault. */
  vaultId: Uint8Array<ArrayBuffer> | undefined;
  expiresMs: number;
  bundle: Uint8Array | undefined;
  /** Hash of the statement that used it, and the vault that it was used for. */
  used: { statement: Uint8Array; vaultId: Uint8Array<ArrayBuffer> } | undefined;
}

/** Which invite an event uses up. */
export interface InviteUse {
  /** SHA-256 of the token. */
  token: Uint8Array;
  statement: Uint8Array;
  vaultId: Uint8Array;
}

const LOCATOR_BYTES = 16;
const ADD_VAULT = `INSERT INTO vaults (id, locator, epoch, generation) VALUES (?, ?, 1, 1)
   ON CONFLICT DO NOTHING`;
const EVENT_COLUMNS = "number, hash, statement, offset, size";

/** A session that is open. */
export interface SessionPlace {
  vault: number;
  id: Uint8Array;
  device: Uint8Array;
  epoch: number;
}

export class VaultDatabase {
  readonly #sql: Sqlite;

  constructor(sql: Sqlite) {
    this.#sql = sql;
  }

  async findVault(id: Uint8Array): Promise<VaultRow | undefined> {
    const row = this.#sql.get("SELECT number, id, epoch, generation FROM vaults WHERE id = ?", id);
    return row as VaultRow | undefined;
  }

  /** The id of the vault with this recovery code. */
  async findLocator(locator: Uint8Array): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const row = this.#sql.get("SELECT id FROM vaults WHERE locator = ?", locator);
    return row?.id as Uint8Array<ArrayBuffer> | undefined;
  }

  /** Adds a vault whose events are to be adopted. Its locator is not known before that. */
  async addVault(id: Uint8Array): Promise<VaultRow> {
    const placeholder = id.subarray(0, LOCATOR_BYTES); // no two vaults have the same
    this.#sql.run(ADD_VAULT, id, placeholder);
    return (await this.findVault(id))!;
  }

  /** Adds a vault with its found event, which is durable. Returns false if another has its locator. */
  async foundVault(
    { id, locator }: { id: Uint8Array; locator: Uint8Array },
    event: EventRow,
    invite: InviteUse,
  ): Promise<boolean> {
    return this.#sql.transaction(() => {
      if (this.#sql.run(ADD_VAULT, id, locator) === 0) return false;
      this.#addEvent(this.#sql.number("SELECT number AS n FROM vaults WHERE id = ?", id), event);
      this.#useInvite(invite);
      return true;
    });
  }

  /** Sets a vault's locator. Returns false if another has it. */
  async setLocator(vault: number, locator: Uint8Array): Promise<boolean> {
    this.#sql.run("UPDATE OR IGNORE vaults SET locator = ? WHERE number = ?", locator, vault);
    const row = this.#sql.get("SELECT number FROM vaults WHERE locator = ?", locator);
    return row?.number === vault;
  }

  /** Ids of all vaults. The database must not be changed meanwhile. */
  async *listVaults(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const rows = this.#sql.iterate("SELECT id FROM vaults");
    for (const { id } of rows) yield id as Uint8Array<ArrayBuffer>;
  }

  async findCheckpoint(vault: number): Promise<Uint8Array | undefined> {
    const row = this.#sql.get("SELECT checkpoint FROM vaults WHERE number = ?", vault);
    return (row?.checkpoint ?? undefined) as Uint8Array | undefined;
  }

  async setCheckpoint(vault: number, checkpoint: Uint8Array | undefined): Promise<void> {
    this.#sql.run("UPDATE vaults SET checkpoint = ? WHERE number = ?", checkpoint ?? null, vault);
  }

  /** Indexes an event that is durable, with all that follows from it, in one transaction. */
  async addEvent(
    vault: number,
    event: EventRow,
    { locator, invite }: { locator?: Uint8Array; invite?: InviteUse | undefined } = {},
  ): Promise<void> {
    this.#sql.transaction(() => {
      this.#addEvent(vault, event);
      if (locator !== undefined) {
        this.#sql.run("UPDATE vaults SET locator = ? WHERE number = ?", locator, vault);
      }
      if (invite !== undefined) this.#useInvite(invite);
    });
  }

  async findEvent(vault: number, number: number): Promise<EventRow | undefined> {
    const row = this.#sql.get(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE vault = ? AND number = ?`,
      vault,
      number,
    );
    return row as EventRow | undefined;
  }

  /** The event that came of a statement with this hash. */
  async findStatement(vault: number, statement: Uint8Array): Promise<EventRow | undefined> {
    const row = this.#sql.get(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE vault = ? AND statement = ?`,
      vault,
      statement,
    );
    return row as EventRow | undefined;
  }

  async findNewestEvent(vault: number): Promise<EventRow | undefined> {
    const row = this.#sql.get(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE vault = ? ORDER BY number DESC LIMIT 1`,
      vault,
    );
    return row as EventRow | undefined;
  }

  /** Events after a number, in order, until their sizes reach `bytes`; at least one if there is. */
  async listEvents(
    vault: number,
    { after, bytes }: { after: number; bytes: number },
  ): Promise<EventRow[]> {
    const rows: EventRow[] = [];
    let size = 0;
    const found = this.#sql.iterate(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE vault = ? AND number > ? ORDER BY number`,
      vault,
      after,
    );
    for (const row of found) {
      rows.push(row as unknown as EventRow);
      size += row.size as number;
      if (size >= bytes) break;
    }
    return rows;
  }

  /** Keeps when a device logged in last. */
  async noteSeen(
    vault: number,
    { device, timeMs }: { device: Uint8Array; timeMs: number },
  ): Promise<void> {
    this.#sql.run(
      `INSERT INTO logins (vault, device, seen) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET seen = excluded.seen`,
      vault,
      device,
      timeMs,
    );
  }

  /** When each device of a vault logged in last, as far as it is known. */
  async listSeen(vault: number): Promise<{ device: Uint8Array; timeMs: number }[]> {
    const rows = this.#sql.iterate(
      "SELECT device, seen AS timeMs FROM logins WHERE vault = ?",
      vault,
    );
    return [...rows] as unknown as { device: Uint8Array; timeMs: number }[];
  }

  /** Opens a session. Returns the one that is there, if its id is in use. */
  async addSession(
    vault: number,
    { id, device, openedMs }: { id: Uint8Array; device: Uint8Array; openedMs: number },
  ): Promise<SessionRow> {
    this.#sql.run(
      `INSERT INTO sessions (vault, id, device, epoch, fenced, opened)
       SELECT number, ?, ?, epoch, 0, ? FROM vaults WHERE number = ? ON CONFLICT DO NOTHING`,
      id,
      device,
      openedMs,
      vault,
    );
    const row = this.#sql.get(
      "SELECT id, device, epoch, fenced FROM sessions WHERE vault = ? AND id = ?",
      vault,
      id,
    );
    return decodeSession(row!);
  }

  async findSession(vault: number, id: Uint8Array): Promise<SessionRow | undefined> {
    const row = this.#sql.get(
      "SELECT id, device, epoch, fenced FROM sessions WHERE vault = ? AND id = ?",
      vault,
      id,
    );
    return row && decodeSession(row);
  }

  /** Ends a session from the server's side: what it was told no longer holds. */
  async fenceSession(vault: number, id: Uint8Array): Promise<void> {
    this.#sql.run("UPDATE sessions SET fenced = 1 WHERE vault = ? AND id = ?", vault, id);
  }

  async removeSession(vault: number, id: Uint8Array): Promise<void> {
    this.#sql.run("DELETE FROM sessions WHERE vault = ? AND id = ?", vault, id);
  }

  /** Says anew when a session was opened. False if it is not there any more. */
  async renewSession(
    vault: number,
    { id, openedMs }: { id: Uint8Array; openedMs: number },
  ): Promise<boolean> {
    return this.#sql.run(
      "UPDATE sessions SET opened = ? WHERE vault = ? AND id = ? AND fenced = 0",
      openedMs,
      vault,
      id,
    ) === 1;
  }

  /** Removes sessions of a device that were opened before one time or after the other. */
  async removeSessionsOf(
    device: Uint8Array,
    { beforeMs, afterMs }: { beforeMs: number; afterMs: number },
  ): Promise<void> {
    this.#sql.run(
      "DELETE FROM sessions WHERE device = ? AND (opened < ? OR opened > ?)",
      device,
      beforeMs,
      afterMs,
    );
  }

  /** Sessions of all vaults that are not fenced: few, as each vault has a bound. */
  async listOpenSessions(): Promise<SessionPlace[]> {
    return this.#sql.all(
      "SELECT vault, id, device, epoch FROM sessions WHERE fenced = 0",
    ) as unknown as SessionPlace[];
  }

  /** The lowest epoch among the open sessions of a vault. */
  async findOldestSessionEpoch(vault: number): Promise<number | undefined> {
    const row = this.#sql.get(
      "SELECT MIN(epoch) AS epoch FROM sessions WHERE vault = ? AND fenced = 0",
      vault,
    );
    return (row?.epoch ?? undefined) as number | undefined;
  }

  async countOpenSessions(vault: number): Promise<number> {
    return this.#sql.number(
      "SELECT COUNT(*) AS n FROM sessions WHERE vault = ? AND fenced = 0",
      vault,
    );
  }

  /** Forgets fenced sessions that were opened before this time. */
  async removeOldSessions(openedMs: number): Promise<void> {
    this.#sql.run("DELETE FROM sessions WHERE fenced = 1 AND opened < ?", openedMs);
  }

  /** Adds an invite. Returns false if its token is there already. */
  async addInvite(invite: {
    token: Uint8Array;
    vaultId?: Uint8Array;
    name?: string;
    expiresMs: number;
    bundle?: Uint8Array;
  }): Promise<boolean> {
    const changes = this.#sql.run(
      `INSERT INTO invites (token, vault, name, expires, bundle) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      invite.token,
      invite.vaultId ?? null,
      invite.name ?? null,
      invite.expiresMs,
      invite.bundle ?? null,
    );
    return changes === 1;
  }

  /** @param token SHA-256 of the token */
  async findInvite(token: Uint8Array): Promise<InviteRow | undefined> {
    const row = this.#sql.get("SELECT * FROM invites WHERE token = ?", token);
    return row && decodeInvite(row);
  }

  /** Invites of a vault that are not used; expired ones too, until they are removed. */
  async countOpenInvites(vaultId: Uint8Array): Promise<number> {
    return this.#sql.number(
      "SELECT COUNT(*) AS n FROM invites WHERE vault = ? AND used_by IS NULL",
      vaultId,
    );
  }

  /** Says what an invite was used for, where no event could say it. */
  async useInvite(use: InviteUse): Promise<void> {
    this.#useInvite(use);
  }

  /** Removes unused invites that have expired, and used ones that expired before `usedMs`. */
  async removeInvites({ nowMs, usedMs }: { nowMs: number; usedMs: number }): Promise<void> {
    this.#sql.run(
      "DELETE FROM invites WHERE expires < ? AND (used_by IS NULL OR expires < ?)",
      nowMs,
      usedMs,
    );
  }

  async setSetting(name: string, value: string): Promise<void> {
    this.#sql.run(
      `INSERT INTO settings (name, value) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      name,
      value,
    );
  }

  async findSetting(name: string): Promise<string | undefined> {
    return this.#sql.get("SELECT value FROM settings WHERE name = ?", name)?.value as
      | string
      | undefined;
  }

  /** Empties what `server rebuild` makes again. Invites and settings stay. */
  async clearIndex(): Promise<void> {
    this.#sql.transaction(() => {
      for (
        const table of ["records", "packs", "sessions", "events", "logins", "requests", "vaults"]
      ) {
        this.#sql.run(`DELETE FROM ${table}`);
      }
    });
  }

  #addEvent(vault: number, event: EventRow): void {
    this.#sql.run(
      `INSERT INTO events (vault, ${EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`,
      vault,
      event.number,
      event.hash,
      event.statement,
      event.offset,
      event.size,
    );
  }

  #useInvite({ token, statement, vaultId }: InviteUse): void {
    this.#sql.run(
      "UPDATE invites SET used_by = ?, used_for = ?, bundle = NULL WHERE token = ?",
      statement,
      vaultId,
      token,
    );
  }
}

function decodeSession(row: SqlRow): SessionRow {
  return {
    id: row.id as Uint8Array,
    device: row.device as Uint8Array,
    epoch: row.epoch as number,
    fenced: row.fenced === 1,
  };
}

function decodeInvite(row: SqlRow): InviteRow {
  return {
    vaultId: (row.vault ?? undefined) as Uint8Array<ArrayBuffer> | undefined,
    expiresMs: row.expires as number,
    bundle: (row.bundle ?? undefined) as Uint8Array | undefined,
    used: row.used_by === null ? undefined : {
      statement: row.used_by as Uint8Array,
      vaultId: row.used_for as Uint8Array<ArrayBuffer>,
    },
  };
}
