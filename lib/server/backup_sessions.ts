/**
 * Backup sessions (docs/protocol_v4.md, "Backup"): runs of backups that outlive their connections and the server, and
 * end by elapsed time. What was confirmed to a session is not deleted before it has ended.
 */
import { equalBytes } from "../bytes.ts";
import type { SessionPlace, VaultDatabase } from "../db_vault.ts";
import { RefusedError } from "../errors.ts";
import { STORE } from "../limits.ts";
import type { Clock } from "../time.ts";
import { EXPORT_DEVICE, removeDeadPins } from "./export_pin.ts";

/** A session as all its connections see it. */
export class BackupSession {
  readonly vault: number;
  readonly id: Uint8Array;
  readonly device: Uint8Array;
  readonly epoch: number;
  /** How many connections have it open. */
  connections = 0;
  /** Whether the server or the client has ended it. */
  hasEnded = false;
  /** Of `clock.elapsed()`. */
  usedMs = 0;

  constructor({ vault, id, device, epoch }: SessionPlace) {
    this.vault = vault;
    this.id = id.slice();
    this.device = device.slice();
    this.epoch = epoch;
  }
}

/** Why a session cannot be opened. */
export class SessionError extends RefusedError {
  override name = "SessionError";
  readonly reason: "ended" | "foreign" | "too many";

  constructor(reason: SessionError["reason"], message: string) {
    super(`Cannot open session: ${message}`);
    this.reason = reason;
  }
}

export class BackupSessions {
  readonly #db: VaultDatabase;
  readonly #clock: Clock;
  /** By vault and id; those that were used since the server started, and all that were open then. */
  readonly #sessions = new Map<string, BackupSession>();

  private constructor(db: VaultDatabase, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** The opening under way: two at once might both find room for the last one. */
  #opening: Promise<unknown> = Promise.resolve();

  /** Sessions with a COMMIT under way: they may have been ended since it came. */
  readonly #committing = new Map<BackupSession, number>();

  /** Takes over what was open when the server ended: each has its whole time again. */
  static async load(db: VaultDatabase, clock: Clock): Promise<BackupSessions> {
    const sessions = new BackupSessions(db, clock);
    for (const row of await db.listOpenSessions()) {
      if (!equalBytes(row.device, EXPORT_DEVICE)) sessions.#add(row); // that ends by itself
    }
    await db.removeOldSessions(clock.wall() - STORE.rememberedMs);
    return sessions;
  }

  /**
   * Opens a session, or finds the one that the device has opened with this id.
   *
   * @throws {SessionError}
   */
  open(vault: number, opened: { id: Uint8Array; device: Uint8Array }): Promise<BackupSession> {
    const opening = this.#opening.then(() => this.#open(vault, opened));
    this.#opening = opening.catch(() => {});
    return opening;
  }

  async #open(
    vault: number,
    { id, device }: { id: Uint8Array; device: Uint8Array },
  ): Promise<BackupSession> {
    if (!(await this.#db.findSession(vault, id))) await this.#makeRoom(vault, device);
    const openedMs = this.#clock.wall();
    const row = await this.#db.addSession(vault, { id, device, openedMs });
    if (row.device.toHex() !== device.toHex()) {
      throw new SessionError("foreign", "it is another device's");
    }
    if (row.fenced) throw new SessionError("ended", "the server has ended it");
    const session = this.#sessions.get(keyOf({ vault, id })) ?? this.#add({ vault, ...row });
    this.touch(session);
    return session;
  }

  /** Says that the session was used. */
  touch(session: BackupSession): void {
    session.usedMs = this.#clock.elapsed();
  }

  /** Ends a session as its client wants. */
  async close(session: BackupSession): Promise<void> {
    this.#end(session);
    await this.#db.removeSession(session.vault, session.id);
  }

  /** Ends a session from the server's side: PUT and COMMIT in it are refused from now on. */
  async fence(session: BackupSession): Promise<void> {
    this.#end(session);
    await this.#db.fenceSession(session.vault, session.id);
  }

  /** Fences what was not used for too long. To be called from time to time. */
  async sweep(): Promise<void> {
    const now = this.#clock.elapsed();
    for (const session of [...this.#sessions.values()]) {
      if (now - session.usedMs >= STORE.sessionMs) await this.fence(session);
    }
  }

  /** @throws {SessionError} if there is no room for one more of this device */
  async #makeRoom(vault: number, device: Uint8Array): Promise<void> {
    const isDeviceFull = this.#ofDevice(vault, device).length >= STORE.sessionsPerDeviceMax;
    const isFull = isDeviceFull ||
      await this.#db.countOpenSessions(vault) >= STORE.sessionsPerVaultMax;
    if (!isFull || await this.#fenceAbandoned(vault, device)) return;
    const who = isDeviceFull ? "this device" : "the vault";
    throw new SessionError("too many", `${who} has too many open ones`);
  }

  /** Those that are open. */
  #ofDevice(vault: number, device: Uint8Array): BackupSession[] {
    const name = device.toHex();
    return [...this.#sessions.values()]
      .filter((session) => session.vault === vault && session.device.toHex() === name);
  }

  /** Ends a session of the device that a run has left which was killed: no connection has it, or nobody uses it. */
  async #fenceAbandoned(vault: number, device: Uint8Array): Promise<boolean> {
    const abandonedMs = this.#clock.elapsed() - STORE.abandonedMs;
    const isLeft = ({ connections }: BackupSession) => connections === 0;
    const [oldest] = this.#ofDevice(vault, device)
      .filter((session) => isLeft(session) || session.usedMs <= abandonedMs)
      .sort((a, b) => Number(isLeft(b)) - Number(isLeft(a)) || a.usedMs - b.usedMs);
    if (oldest) await this.fence(oldest);
    return oldest !== undefined;
  }

  /** Does the work of a COMMIT. Until it is done, what the session was told holds. */
  async committing<T>(session: BackupSession, work: () => Promise<T>): Promise<T> {
    this.#committing.set(session, (this.#committing.get(session) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = this.#committing.get(session)! - 1;
      if (left > 0) this.#committing.set(session, left);
      else this.#committing.delete(session);
    }
  }

  /** The lowest epoch of those of a vault that have not ended; Infinity without any. */
  async oldestEpoch(vault: number): Promise<number> {
    await removeDeadPins(this.#db, this.#clock);
    let oldest = await this.#db.findOldestSessionEpoch(vault) ?? Infinity;
    for (const session of this.#committing.keys()) {
      if (session.vault === vault) oldest = Math.min(oldest, session.epoch);
    }
    return oldest;
  }

  #add(row: SessionPlace): BackupSession {
    const session = new BackupSession(row);
    this.touch(session);
    this.#sessions.set(keyOf(row), session);
    return session;
  }

  #end(session: BackupSession): void {
    session.hasEnded = true;
    this.#sessions.delete(keyOf(session));
  }
}

function keyOf({ vault, id }: { vault: number; id: Uint8Array }): string {
  return `${vault} ${id.toHex()}`;
}
