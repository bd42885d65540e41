/**
 * What a device that is logged in can ask for (docs/protocol_v4.md). Whether it may is decided before, in
 * `session_v4.ts`; everything here works on one vault, the member's own.
 */
import { ByteReader, equalBytes } from "../bytes.ts";
import type { RecordDatabase } from "../db_records.ts";
import { isNoSpace } from "../durable.ts";
import { decodeStatement, EventKind, type Statement } from "../journal.ts";
import { decodeCommit } from "../journal_body.ts";
import { STORE, WIRE } from "../limits.ts";
import {
  type Appended,
  ErrorCode,
  type MissingRecords,
  type SessionGrant,
} from "../protocol_v4.ts";
import { type DecodedRecord, decodeRecord, RecordType } from "../record.ts";
import { LoginKind } from "../protocol_v4_login.ts";
import { type BackupSession, type BackupSessions, SessionError } from "./backup_sessions.ts";
import { DepthError } from "./completeness.ts";
import { findRole, type Login, type Permissions, permissionsOf } from "./permissions.ts";
import type { Puts } from "./puts.ts";
import { decodeRequest, judgeStatement, RequestError } from "./request_error.ts";
import { statementHash } from "./vault_journal.ts";
import type { Vault, VaultStore } from "./vault_store.ts";

/** With which the body of a session record begins (docs/format.md, "Records"). */
const EPOCH_BYTES = 4;

export interface MemberOptions {
  login: Login;
  vault: Vault;
  store: VaultStore;
  records: RecordDatabase;
  sessions: BackupSessions;
  puts: Puts;
}

export class Member {
  readonly #options: MemberOptions;
  #session: BackupSession | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  get vault(): Vault {
    return this.#options.vault;
  }

  get login(): Login {
    return this.#options.login;
  }

  get puts(): Puts {
    return this.#options.puts;
  }

  /** As the journal is now: a device may be revoked while it is connected. */
  get permissions(): Permissions {
    return permissionsOf(findRole(this.vault.journal.state, this.login));
  }

  /** Keeps when a device was here last, if there is room: who restores needs none, and a full disk must let them in. */
  async noteSeen(timeMs: number): Promise<void> {
    const { store, vault, login } = this.#options;
    if (login.kind !== LoginKind.DEVICE) return;
    try {
      await store.db.noteSeen(vault.number, { device: login.id, timeMs });
    } catch (error) {
      if (!isNoSpace(error)) throw error;
    }
  }

  /** OPEN. @throws {RequestError} */
  async open(id: Uint8Array): Promise<SessionGrant> {
    const { sessions, vault, login } = this.#options;
    try {
      const session = await sessions.open(vault.number, { id, device: login.id });
      session.connections++;
      this.leaveSession();
      this.#session = session;
    } catch (cause) {
      if (!(cause instanceof SessionError)) throw cause;
      throw new RequestError(SESSION_ERROR_CODES[cause.reason], cause.message, cause);
    }
    return { epoch: this.#session.epoch, expiresMs: STORE.sessionMs };
  }

  /** The connection ends, or has another session. This one lasts on, for the device to come back to. */
  leaveSession(): void {
    if (this.#session) this.#session.connections--;
    this.#session = undefined;
  }

  /** CLOSE. A session that is not there is closed. */
  async close(id: Uint8Array): Promise<void> {
    const { sessions, vault, login } = this.#options;
    const row = await this.#options.store.db.findSession(vault.number, id);
    if (!row || row.fenced) return;
    if (!equalBytes(row.device, login.id)) {
      throw new RequestError(ErrorCode.FORBIDDEN, "Cannot close session: it is another device's");
    }
    await sessions.close(await sessions.open(vault.number, { id, device: login.id }));
  }

  /** Says that the session, if there is one, is in use. */
  touchSession(): void {
    if (this.#session && !this.#session.hasEnded) this.#options.sessions.touch(this.#session);
  }

  /** @throws {RequestError} `NO_SESSION` */
  requireSession(): BackupSession {
    if (!this.#session) {
      throw new RequestError(ErrorCode.NO_SESSION, "Cannot store: no session is open");
    }
    if (this.#session.hasEnded) {
      throw new RequestError(ErrorCode.NO_SESSION, "Cannot store: the session has ended");
    }
    this.touchSession();
    return this.#session;
  }

  /** APPEND of a statement that the member may make. @throws {RequestError} */
  async append(bytes: Uint8Array): Promise<Appended> {
    const { kind } = await this.readStatement(bytes);
    if (kind === EventKind.DEVICE && !(await this.#isKnown(bytes))) {
      await this.vault.quota.checkDevices(this.vault.journal.state);
    }
    const { store } = this.#options;
    return await judgeStatement(() => store.withReserve(() => this.vault.journal.append(bytes)));
  }

  /** COMMIT: the snapshot is there from now on, or what it lacks. @throws {RequestError} */
  async commit(bytes: Uint8Array): Promise<Appended | MissingRecords> {
    const { vault, store, puts } = this.#options;
    const statement = await this.readStatement(bytes);
    if (statement.kind !== EventKind.COMMIT) {
      throw new RequestError(
        ErrorCode.BAD_EVENT,
        "Cannot commit: the statement is of another kind",
      );
    }
    const known = await store.db.findStatement(vault.number, statementHash(bytes));
    if (known) return { number: known.number, hash: known.hash };
    const session = this.requireSession();
    const { root } = decodeRequest(statement.body, decodeCommit);
    return await this.#options.sessions.committing(session, async () => {
      await vault.quota.checkSnapshots(vault.journal.state);
      await puts.flush();
      const missing = await this.#findMissing(root);
      if (missing.ids.length > 0) return missing;
      await this.#checkEpoch(root);
      return await this.append(bytes);
    });
  }

  /**
   * A statement by the member itself.
   *
   * @throws {RequestError} `BAD_EVENT`
   */
  async readStatement(bytes: Uint8Array): Promise<Statement> {
    const statement = await judgeStatement(() => decodeStatement(bytes));
    if (!equalBytes(statement.signer, this.login.id)) {
      throw new RequestError(
        ErrorCode.BAD_EVENT,
        "Cannot accept statement: somebody else signed it",
      );
    }
    return statement;
  }

  /**
   * What was sealed with the keys of an epoch that is over must not become a snapshot. That the statement has seen the
   * newest epoch is the journal's rule; that its session is of it can be seen here only.
   *
   * @throws {RequestError} `STALE_EVENT`
   */
  async #checkEpoch(root: Uint8Array): Promise<void> {
    const { epochs } = this.vault.journal.state.facts;
    const session = (await this.#readRecord(root))?.links[0];
    const record = session && await this.#readRecord(session);
    if (record?.type !== RecordType.SESSION || record.body.length < EPOCH_BYTES) return;
    const epoch = new ByteReader(record.body.subarray(0, EPOCH_BYTES)).u32();
    if (epoch === epochs.length) return;
    const state = `its session has the keys of epoch ${epoch}, and ${epochs.length} is in use`;
    throw new RequestError(ErrorCode.STALE_EVENT, `Cannot commit: ${state}`);
  }

  async #readRecord(id: Uint8Array): Promise<DecodedRecord | undefined> {
    for await (const read of this.vault.reader.readAll([id])) {
      if (read.state === "found") return decodeRecord(read.bytes);
    }
    return undefined;
  }

  async #isKnown(statement: Uint8Array): Promise<boolean> {
    const { vault, store } = this.#options;
    return await store.db.findStatement(vault.number, statementHash(statement)) !== undefined;
  }

  async #findMissing(root: Uint8Array): Promise<MissingRecords> {
    const { vault, records } = this.#options;
    const row = await records.findRecord(vault.number, root);
    if (row && row.type !== RecordType.ROOT) {
      throw new RequestError(ErrorCode.BAD_EVENT, "Cannot commit: the record is not a root");
    }
    try {
      const walk = await vault.completeness.findMissing(root, WIRE.missingIdsMax);
      return { isCut: walk.isCut, ids: walk.missing };
    } catch (cause) {
      if (!(cause instanceof DepthError)) throw cause;
      throw new RequestError(ErrorCode.BAD_RECORD, cause.message, cause);
    }
  }
}

const SESSION_ERROR_CODES = {
  ended: ErrorCode.NO_SESSION,
  foreign: ErrorCode.FORBIDDEN,
  "too many": ErrorCode.BUSY,
} as const;
