/**
 * A vault's journal in use: its file, its index, and what it adds up to. Statements are taken one at a time: checked,
 * made durable, indexed, and only then applied and answered (docs/store.md, "Durability").
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { equalBytes } from "../bytes.ts";
import type { EventRow, InviteUse, VaultDatabase } from "../db_vault.ts";
import { DamagedError } from "../errors.ts";
import { recoveryId } from "../identity.ts";
import {
  decodeEvent,
  encodeEvent,
  encodeStatement,
  EventKind,
  isServersOwn,
  JournalError,
  type JournalEvent,
} from "../journal.ts";
import { decodeRecovery, decodeRestore, Restored } from "../journal_body.ts";
import { JournalState } from "../journal_state.ts";
import { STORE, WIRE } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Appended, EventsPage } from "../protocol_v4.ts";
import type { Clock } from "../time.ts";
import { JournalFile, type StoredEvent } from "./journal_file.ts";

export interface VaultJournalOptions {
  vault: { number: number; id: Uint8Array };
  dataPath: string;
  db: VaultDatabase;
  clock: Clock;
  log: Log;
}

/** Where the journals are, below the data folder. */
export const JOURNAL_FOLDER = "journal";

/** Path of a vault's journal file. */
export function journalPath(dataPath: string, vaultId: Uint8Array): string {
  return join(dataPath, JOURNAL_FOLDER, vaultId.toHex(), "events");
}

/** What a statement is recognised by. 32 bytes. */
export function statementHash(statement: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(statement).digest());
}

/** The row of an event that stands at this offset. */
export function eventRow({ event, hash, offset }: StoredEvent): EventRow {
  const decoded = decodeEvent(event);
  // The server may say the same twice: what it drops, or brings back, may come again.
  const statement = isServersOwn(decoded.kind) ? hash : statementHash(encodeStatement(decoded));
  return { number: decoded.number, hash, statement, offset, size: event.length };
}

export class VaultJournal implements AsyncDisposable {
  readonly #options: VaultJournalOptions;
  readonly #file: JournalFile;
  readonly #state: JournalState;
  #checkpointNumber: number;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: VaultJournalOptions, file: JournalFile, state: JournalState) {
    this.#options = options;
    this.#file = file;
    this.#state = state;
    this.#checkpointNumber = state.newest.number;
  }

  /**
   * Opens a vault's journal and brings index and state up to it.
   *
   * @param isWhole whether the index has every event that was ever acknowledged
   * @throws {DamagedError} if acknowledged events are gone or changed
   */
  static async open(
    options: VaultJournalOptions,
    { isWhole }: { isWhole: boolean },
  ): Promise<VaultJournal> {
    const { vault, db, dataPath } = options;
    const newest = await db.findNewestEvent(vault.number);
    const path = journalPath(dataPath, vault.id);
    const file = await JournalFile.open(path, { vaultId: vault.id, newest });
    try {
      const journal = new VaultJournal(options, file, await loadCheckpoint(options));
      await journal.#replay();
      const indexed = journal.#state.newest.number;
      await file.adopt(isWhole, (stored) => journal.#adopt(stored));
      if (journal.#state.isEmpty) throw new DamagedError("Cannot use journal: it has no events");
      if (journal.#state.newest.number !== indexed) await journal.#noteAdopted();
      return journal;
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** What the journal adds up to. Only to read. */
  get state(): JournalState {
    return this.#state;
  }

  /**
   * Takes a statement: the next event, durably. One that is in the journal already is answered as it was.
   *
   * @throws {JournalError} if the journal does not take it
   */
  append(statement: Uint8Array, { invite }: { invite?: InviteUse } = {}): Promise<Appended> {
    return this.#exclusively(async () => {
      const { vault, db, clock } = this.#options;
      const known = await db.findStatement(vault.number, statementHash(statement));
      if (known) return { number: known.number, hash: known.hash };
      const { newest, facts } = this.#state;
      const timeMs = Math.max(clock.wall(), facts.timeMs);
      const place = { number: newest.number + 1, previous: newest.hash, timeMs };
      const event = encodeEvent(place, statement);
      const locator = await this.#checkLocator(this.#state.check(event));
      const start = this.#file.end;
      const stored = await this.#file.append(event);
      try {
        await db.addEvent(vault.number, eventRow(stored), { locator, invite });
      } catch (error) {
        await this.#file.takeBack(start);
        throw error;
      }
      this.#state.apply(stored.event);
      await this.#checkpointNowAndThen();
      return { number: place.number, hash: stored.hash };
    });
  }

  /** A page of the events after a number. */
  readPage(after: number): Promise<EventsPage> {
    return this.#exclusively(async () => {
      const { vault, db } = this.#options;
      const rows = await db.listEvents(vault.number, { after, bytes: WIRE.eventsPageBytes });
      const events = await this.#file.read(rows);
      return { headNumber: this.#state.newest.number, events };
    });
  }

  /** Stores what the journal adds up to, so that it opens quickly, and closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#state.newest.number !== this.#checkpointNumber) await this.#tryCheckpoint();
      this.#file[Symbol.dispose]();
    });
  }

  /** The vault's locator once this event is in force. */
  async #checkLocator(event: JournalEvent): Promise<Uint8Array> {
    const locator = findNewLocator(event);
    if (locator === undefined) return this.#state.facts.recovery.id;
    const other = await this.#options.db.findLocator(locator);
    if (other !== undefined && !equalBytes(other, this.#options.vault.id)) {
      throw new JournalError("impossible", "Cannot accept event: another vault has this code");
    }
    return locator;
  }

  /** Applies the events that the index has and the checkpoint has not. */
  async #replay(): Promise<void> {
    const { vault, db } = this.#options;
    for (;;) {
      const after = this.#state.newest.number;
      const rows = await db.listEvents(vault.number, { after, bytes: WIRE.eventsPageBytes });
      if (rows.length === 0) return;
      for (const event of await this.#file.read(rows)) this.#state.apply(event);
    }
  }

  /** Takes over an event that is in the file and not in the index. */
  async #adopt(stored: StoredEvent): Promise<void> {
    this.#state.apply(stored.event);
    await this.#options.db.addEvent(this.#options.vault.number, eventRow(stored));
  }

  async #noteAdopted(): Promise<void> {
    const { vault, db } = this.#options;
    const hasLocator = await db.setLocator(vault.number, this.#state.facts.recovery.id);
    if (!hasLocator) throw new DamagedError("Cannot use journal: another vault has its code");
    await this.#checkpoint();
  }

  async #checkpointNowAndThen(): Promise<void> {
    const since = this.#state.newest.number - this.#checkpointNumber;
    if (since >= STORE.checkpointEvents) await this.#tryCheckpoint();
  }

  /** What it saves is time: without it the events are applied once more at the next start. */
  async #tryCheckpoint(): Promise<void> {
    try {
      await this.#checkpoint();
    } catch (error) {
      this.#options.log.error("checkpoint not written", error, {
        vault: this.#options.vault.id.toHex(),
      });
    }
  }

  async #checkpoint(): Promise<void> {
    await this.#options.db.setCheckpoint(this.#options.vault.number, this.#state.encode());
    this.#checkpointNumber = this.#state.newest.number;
  }

  /** One at a time: events have an order, and the file one position. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => {});
    return done;
  }
}

/** Id of the recovery code that an event puts in the place of another. */
function findNewLocator({ kind, body }: JournalEvent): Uint8Array | undefined {
  if (kind === EventKind.RECOVERY) return recoveryId(decodeRecovery(body).keys);
  if (kind !== EventKind.RESTORE) return undefined;
  const { what, id } = decodeRestore(body);
  return what === Restored.RECOVERY ? id : undefined;
}

/** The state at the checkpoint, or at the beginning if there is none that fits the index. */
async function loadCheckpoint({ vault, db }: VaultJournalOptions): Promise<JournalState> {
  const checkpoint = await db.findCheckpoint(vault.number);
  if (checkpoint === undefined) return new JournalState();
  try {
    const state = JournalState.decode(checkpoint);
    const row = await db.findEvent(vault.number, state.newest.number);
    if (row !== undefined && equalBytes(row.hash, state.newest.hash)) return state;
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error; // it is made again from the events
  }
  return new JournalState();
}
