/**
 * The vaults of a server: which are in use, what belongs to each, how a new one begins. A vault is opened for its first
 * user and closed some time after its last, so that memory follows those who are connected and not those who exist.
 */
import { dirname, join } from "node:path";
import { type BlobStore, FolderBlobs } from "../blobs.ts";
import type { Database } from "../db.ts";
import { ParityDatabase } from "../db_parity.ts";
import { RecordDatabase } from "../db_records.ts";
import { UpkeepDatabase } from "../db_upkeep.ts";
import { UsageDatabase } from "../db_usage.ts";
import { type InviteUse, VaultDatabase, type VaultRow } from "../db_vault.ts";
import { syncDirectory } from "../durable.ts";
import { recoveryId } from "../identity.ts";
import {
  decodeStatement,
  encodeEvent,
  eventHash,
  EventKind,
  JOURNAL_START,
  JournalError,
  vaultIdOf,
} from "../journal.ts";
import { decodeFound } from "../journal_body.ts";
import { JournalState } from "../journal_state.ts";
import { STORE } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Appended } from "../protocol_v4.ts";
import type { Usage } from "../protocol_v4_usage.ts";
import type { Clock } from "../time.ts";
import { type AdoptionOptions, type AdoptionResult, adoptStore } from "./adoption.ts";
import { Budget } from "./budget.ts";
import { Completeness } from "./completeness.ts";
import { JournalFile } from "./journal_file.ts";
import type { Metrics } from "./metrics.ts";
import { PackParity } from "./pack_parity.ts";
import { PackWriter } from "./pack_writer.ts";
import { ParityFiles } from "./parity_files.ts";
import { VaultQuota } from "./quota.ts";
import type { Reserve } from "./reserve.ts";
import { RecordReader } from "./record_reader.ts";
import {
  eventRow,
  JOURNAL_FOLDER,
  journalPath,
  statementHash,
  VaultJournal,
} from "./vault_journal.ts";
import { usageOf } from "./vault_usage.ts";

const FOLDER_MODE = 0o700;

/** A vault in use. */
export interface Vault {
  number: number;
  id: Uint8Array<ArrayBuffer>;
  journal: VaultJournal;
  packs: PackWriter;
  reader: RecordReader;
  parity: PackParity;
  completeness: Completeness;
  /** Its part of the memory for frames and reads. */
  budget: Budget;
  quota: VaultQuota;
  usage: () => Promise<Usage>;
}

export interface VaultStoreOptions {
  dataPath: string;
  db: Database;
  log: Log;
  clock: Clock;
  /** Room for what must go on when the disk is full. */
  reserve?: Reserve;
  /** Where packs are; without it the folder `packs`. */
  blobs?: BlobStore;
  /** Size of parity for new packs, in hundredths of theirs; none is made without it. */
  parityPercent?: number;
  metrics?: Metrics;
}

type Prepared = AdoptionOptions & {
  upkeep: UpkeepDatabase;
  usage: UsageDatabase;
  reserve?: Reserve;
};

interface OpenVault {
  vault: Promise<Vault>;
  users: number;
  /** When the last user left; of `clock.elapsed()`. */
  leftMs: number;
}

export class VaultStore {
  readonly #options: Prepared;
  /** By id, hexadecimal. */
  readonly #open = new Map<string, OpenVault>();
  #founding: Promise<unknown> = Promise.resolve();

  private constructor(options: Prepared) {
    this.#options = options;
  }

  /** Opens the store, and brings its index up to the files. */
  static async open(options: VaultStoreOptions): Promise<VaultStore> {
    const prepared = await prepare(options);
    await adoptStore(prepared, { isWhole: true });
    return new VaultStore(prepared);
  }

  /** Makes the index again from packs and journals alone. */
  static async rebuild(options: VaultStoreOptions): Promise<AdoptionResult> {
    const prepared = await prepare(options);
    await prepared.db.clearIndex();
    return await adoptStore(prepared, { isWhole: false });
  }

  get db(): VaultDatabase {
    return this.#options.db;
  }

  get records(): RecordDatabase {
    return this.#options.records;
  }

  get blobs(): BlobStore {
    return this.#options.blobs;
  }

  get parity(): PackParity {
    return this.#options.parity;
  }

  /** Does work that must go on when the disk is full. It must be fit to be done twice. */
  withReserve<T>(work: () => Promise<T>): Promise<T> {
    const { reserve } = this.#options;
    return reserve === undefined ? work() : reserve.guard(work);
  }

  /** Of something that failed: if the disk is full, nothing new is taken from now on. */
  noticeFull(error: unknown): void {
    this.#options.reserve?.notice(error);
  }

  /**
   * A vault, until {@link leave}. Undefined if there is none with this id.
   *
   * @throws {DamagedError} if its journal cannot be used
   */
  async enter(id: Uint8Array): Promise<Vault | undefined> {
    const name = id.toHex();
    let open = this.#open.get(name);
    if (open === undefined) {
      const row = await this.#options.db.findVault(id);
      if (row === undefined) return undefined;
      open = this.#open.get(name) ?? { vault: this.#openVault(row), users: 0, leftMs: 0 };
      this.#open.set(name, open);
    }
    open.users++;
    try {
      return await open.vault;
    } catch (error) {
      if (this.#open.get(name) === open) this.#open.delete(name);
      throw error;
    }
  }

  /** Says that a vault from {@link enter} is not used any more. */
  leave(vault: Vault): void {
    const open = this.#open.get(vault.id.toHex())!;
    open.users--;
    open.leftMs = this.#options.clock.elapsed();
  }

  /**
   * Begins a vault with its found statement. The same statement again gets the same answer.
   *
   * @throws {JournalError} if the statement founds no vault
   */
  async found(statement: Uint8Array, token: Uint8Array): Promise<Appended> {
    this.#options.reserve?.check("found vault");
    const founded = this.#founding.then(() => this.#found(statement, token));
    this.#founding = founded.catch(() => {});
    return await founded;
  }

  /** Finishes packs that are quiet, closes vaults that nobody uses. To be called several times a second. */
  async sweep(): Promise<void> {
    const now = this.#options.clock.elapsed();
    for (const [name, open] of [...this.#open]) {
      const vault = await open.vault.catch(() => undefined);
      if (vault === undefined) continue;
      vault.packs.sweep();
      const isIdle = open.users === 0 && now - open.leftMs >= STORE.vaultIdleMs;
      if (!isIdle || !vault.packs.isIdle) continue;
      this.#open.delete(name);
      await vault.journal[Symbol.asyncDispose]();
    }
  }

  /** Finishes what is under way and closes everything. Nobody may use a vault any more. */
  async close(): Promise<void> {
    await this.#founding;
    for (const [name, open] of [...this.#open]) {
      this.#open.delete(name);
      const vault = await open.vault.catch(() => undefined);
      await vault?.packs.flush();
      await vault?.journal[Symbol.asyncDispose]();
    }
  }

  async #openVault(row: VaultRow): Promise<Vault> {
    const { number, id } = row;
    const options = { ...this.#options, vault: row };
    const journal = await VaultJournal.open(options, { isWhole: true });
    const { parity } = options;
    const heal = (pack: number) => parity.heal(row, pack);
    const reader = new RecordReader({ ...options, heal });
    const budget = new Budget(STORE.vaultBufferBytesMax);
    const completeness = new Completeness({ ...this.#options, vaultNumber: number, reader });
    const packs = new PackWriter(options);
    const quota = new VaultQuota(options);
    const usage = usageOf(options);
    return { number, id, journal, packs, reader, parity, completeness, budget, quota, usage };
  }

  async #found(statement: Uint8Array, token: Uint8Array): Promise<Appended> {
    const { db, dataPath, clock } = this.#options;
    const decoded = decodeStatement(statement);
    if (decoded.kind !== EventKind.FOUND) {
      throw new JournalError("impossible", "Cannot found vault: the statement is of another kind");
    }
    const vaultId = vaultIdOf(decoded.body);
    const use: InviteUse = { token, statement: statementHash(statement), vaultId };
    const row = await db.findVault(vaultId);
    if (row) return await this.#answerFounded(row, use);
    const place = { number: 1, previous: JOURNAL_START.hash, timeMs: clock.wall() };
    const event = encodeEvent(place, statement);
    new JournalState().apply(event);
    const locator = recoveryId(decodeFound(decoded.body).recovery);
    if (await db.findLocator(locator)) throw takenLocator();
    const path = journalPath(dataPath, vaultId);
    const offset = await JournalFile.create(path, { vaultId, event });
    const stored = { event, hash: eventHash(event), offset };
    const isFounded = await db.foundVault({ id: vaultId, locator }, eventRow(stored), use);
    if (!isFounded) {
      await Deno.remove(dirname(path), { recursive: true });
      throw takenLocator();
    }
    return { number: 1, hash: stored.hash };
  }

  /** The vault is there. If it began with this very statement, the answer was lost. */
  async #answerFounded(row: VaultRow, use: InviteUse): Promise<Appended> {
    const { db } = this.#options;
    const event = await db.findStatement(row.number, use.statement);
    if (event?.number !== 1) {
      throw new JournalError("impossible", "Cannot found vault: it is there already");
    }
    await db.useInvite(use);
    return { number: 1, hash: event.hash };
  }
}

async function prepare(options: VaultStoreOptions): Promise<Prepared> {
  const { dataPath, db, parityPercent: percent } = options;
  await Deno.mkdir(join(dataPath, JOURNAL_FOLDER), { recursive: true, mode: FOLDER_MODE });
  await syncDirectory(dataPath);
  const parts = {
    ...options,
    blobs: options.blobs ?? await FolderBlobs.open(join(dataPath, "packs")),
    db: new VaultDatabase(db.sql),
    records: new RecordDatabase(db.sql),
    upkeep: new UpkeepDatabase(db.sql),
    usage: new UsageDatabase(db.sql),
  };
  const parity = new PackParity({
    ...parts,
    files: new ParityFiles(dataPath),
    rows: new ParityDatabase(db.sql),
    ...(percent === undefined ? {} : { percent }),
  });
  return { ...parts, parity };
}

function takenLocator(): JournalError {
  return new JournalError("impossible", "Cannot found vault: another has its recovery code");
}
