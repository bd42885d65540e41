/** A store without a network: devices put and commit through what serves them, and upkeep is called by hand. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Database } from "../../lib/db.ts";
import { UpkeepDatabase } from "../../lib/db_upkeep.ts";
import { EventKind, JOURNAL_START, type JournalPoint } from "../../lib/journal.ts";
import { encodeCommit, encodeRoots } from "../../lib/journal_body.ts";
import { Log } from "../../lib/log.ts";
import { LoginKind } from "../../lib/protocol_v4_login.ts";
import { BackupSessions } from "../../lib/server/backup_sessions.ts";
import type { Share } from "../../lib/server/budget.ts";
import {
  Collection,
  type CollectionOptions,
  type CollectionResult,
  collectVault,
} from "../../lib/server/collection.ts";
import { dropGivenUp } from "../../lib/server/expiry.ts";
import { Member } from "../../lib/server/member_v4.ts";
import { tidyPacks } from "../../lib/server/pack_tidying.ts";
import { Puts } from "../../lib/server/puts.ts";
import { type ScrubResult, scrubVault } from "../../lib/server/scrub.ts";
import { Throttle } from "../../lib/server/throttle.ts";
import { type Vault, VaultStore } from "../../lib/server/vault_store.ts";
import { withFolder } from "../folder.ts";
import {
  deviceA,
  foundBody,
  random,
  TestClock,
  type TestRecord,
  type TestVault,
} from "./fixture.ts";

export const DAY_MS = 24 * 3600 * 1000;

export class StoreBench {
  readonly clock = new TestClock();
  /** The data folder. */
  readonly folder: string;
  #founded!: TestVault;
  db!: Database;
  store!: VaultStore;
  sessions!: BackupSessions;
  vault!: Vault;
  logged = "";
  /** Of packs, from the next opening on. */
  parityPercent: number | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  async open(): Promise<void> {
    this.db = Database.open(join(this.folder, "holdfast.db"));
    const sink = {
      write: async (bytes: Uint8Array) => {
        this.logged += new TextDecoder().decode(bytes);
        return bytes.length;
      },
    };
    const log = new Log({ format: "text", sink, now: Date.now });
    const { db, clock } = this;
    const parity = this.parityPercent === undefined ? {} : { parityPercent: this.parityPercent };
    this.store = await VaultStore.open({ dataPath: this.folder, db, log, clock, ...parity });
    this.sessions = await BackupSessions.load(this.store.db, clock);
    if (this.#founded === undefined) {
      this.#founded = await foundBody(deviceA);
      const { body, sign } = this.#founded;
      const statement = await sign(deviceA, EventKind.FOUND, body, JOURNAL_START);
      await this.store.found(statement, random(32));
    }
    this.vault = (await this.store.enter(this.#founded.id))!;
  }

  /** Ends as a crash does: nothing is finished. */
  async crash(): Promise<void> {
    await this.close();
    await this.open();
  }

  async close(): Promise<void> {
    await this.store.close();
    this.db.close();
  }

  get packsPath(): string {
    return join(this.folder, "packs", this.vault.id.toHex());
  }

  get packNames(): string[] {
    return [...Deno.readDirSync(this.packsPath)].map(({ name }) => name).sort();
  }

  /** A device on a connection, in a session. */
  async member(): Promise<TestDevice> {
    const { store, sessions, vault } = this;
    const failures: unknown[] = [];
    const puts = new Puts({
      ...{ vault, records: store.records, acknowledge: () => {} },
      device: deviceA.id,
      fail: (_, error) => failures.push(error),
    });
    const login = { kind: LoginKind.DEVICE, id: deviceA.id };
    const options = { login, vault, store, records: store.records, sessions, puts };
    const device = new TestDevice(this, new Member(options));
    await device.open();
    return device;
  }

  async append(kind: EventKind, body: Uint8Array): Promise<void> {
    await this.vault.journal.append(await this.sign(kind, body));
  }

  forget(...roots: TestRecord[]): Promise<void> {
    return this.append(EventKind.FORGET, encodeRoots(roots.map(({ id }) => id)));
  }

  sign(kind: EventKind, body: Uint8Array): Promise<Uint8Array> {
    const newest: JournalPoint = this.vault.journal.state.newest;
    return this.#founded.sign(deviceA, kind, body, newest);
  }

  async drop(): Promise<number> {
    const { clock } = this;
    return (await dropGivenUp(this.vault.journal, { clock, extraHoldMs: 0 })).dropped;
  }

  /** One run. @param meanwhile is called between any two steps */
  async collect(meanwhile?: () => Promise<void>): Promise<CollectionResult> {
    const options = this.#collectionOptions(meanwhile);
    const result = await new Collection(this.vault, options).run();
    return { ...result, ...await tidyPacks(this.vault, options) };
  }

  /** Runs that share their marks. */
  collection(): Collection {
    return new Collection(this.vault, this.#collectionOptions());
  }

  /** As the server does it: a second run after one that has condemned something. */
  async collectAll(meanwhile?: () => Promise<void>): Promise<CollectionResult> {
    return await collectVault(this.vault, this.#collectionOptions(meanwhile));
  }

  #collectionOptions(meanwhile?: () => Promise<void>): CollectionOptions {
    const { store: { blobs, records }, sessions, clock, db } = this;
    const throttle = new Throttle({
      clock,
      shares: { quiet: 1, busy: 1 },
      isStopping: () => false,
    });
    if (meanwhile) throttle.pause = meanwhile;
    return { blobs, records, sessions, clock, throttle, upkeep: new UpkeepDatabase(db.sql) };
  }

  /** Compares packs that were last read before a time. */
  async scrub(beforeMs: number, meanwhile?: () => Promise<void>): Promise<ScrubResult> {
    const { clock, db } = this;
    const throttle = new Throttle({
      clock,
      shares: { quiet: 1, busy: 1 },
      isStopping: () => false,
    });
    if (meanwhile) throttle.pause = meanwhile;
    const upkeep = new UpkeepDatabase(db.sql);
    return await scrubVault(this.vault, { upkeep, clock, throttle, beforeMs });
  }

  /** Makes parity for packs that have none. */
  async makeParity(): Promise<void> {
    const options = { percent: this.parityPercent ?? 5, pause: () => Promise.resolve() };
    await this.store.parity.makeSome(options);
  }

  /** What the store gives for each record. */
  async get(...records: TestRecord[]): Promise<(Uint8Array | "missing" | "damaged")[]> {
    const results: (Uint8Array | "missing" | "damaged")[] = [];
    for await (const read of this.vault.reader.readAll(records.map(({ id }) => id))) {
      results[read.index] = read.state === "found" ? read.bytes.slice() : read.state;
    }
    return results;
  }

  /** All of them must be there, to the byte. */
  async check(...records: TestRecord[]): Promise<void> {
    assert.deepEqual(await this.get(...records), records.map(({ bytes }) => bytes));
  }
}

export class TestDevice {
  readonly #bench: StoreBench;
  readonly member: Member;
  sessionId = random(16);

  constructor(bench: StoreBench, member: Member) {
    this.#bench = bench;
    this.member = member;
  }

  async open(): Promise<void> {
    await this.member.open(this.sessionId);
  }

  async close(): Promise<void> {
    await this.member.close(this.sessionId);
  }

  has(...records: TestRecord[]): Promise<boolean[]> {
    return this.#bench.vault.completeness.check(records.map(({ id }) => id));
  }

  async put(...records: TestRecord[]): Promise<void> {
    this.member.requireSession();
    const share = { release: () => {} } as unknown as Share;
    for (const { id, bytes } of records) {
      await this.member.puts.put(1, { id: id.slice(), record: bytes.slice() }, share);
    }
    await this.member.puts.flush();
  }

  /** Commits. Returns how many records are missing. */
  async commit(root: TestRecord): Promise<number> {
    const body = encodeCommit({ root: root.id, setLabel: new Uint8Array(16), tagLabels: [] });
    const answer = await this.member.commit(await this.#bench.sign(EventKind.COMMIT, body));
    return "ids" in answer ? answer.ids.length : 0;
  }
}

export async function withStoreBench(test: (bench: StoreBench) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const bench = new StoreBench(folder);
    await bench.open();
    try {
      await test(bench);
    } finally {
      await bench.close();
    }
  });
}
