/**
 * Checks what snapshots are made of, from their roots down. A record that was found right with all below it is not
 * looked at again, as far as memory for that lasts; so many snapshots of one tree take little longer than one.
 */
import { DamagedError, describeError } from "../errors.ts";
import { CHECK } from "../limits.ts";
import { type RecordAnswer, RecordState } from "../protocol_v4.ts";
import { RecordType } from "../record.ts";
import type { Entry, Extent } from "../vault/entry.ts";
import { decodeIndex, type IndexItem } from "../vault/index_record.ts";
import type { Root } from "../vault/root.ts";
import { openRecord } from "../vault/seal.ts";
import type { Reference } from "../vault/session.ts";
import { decodeList, decodeSegment, type Load } from "../vault/tree_reader.ts";
import { IdFilter } from "./id_filter.ts";
import { recordError, type RecordLoader } from "./record_loader.ts";
import type { VaultClientSession } from "./session_v4.ts";

export interface CheckOptions {
  session: VaultClientSession;
  loader: RecordLoader;
  load: Load;
  /** Share of the data records that are read and opened, 0 to 1; the others only have to be there. */
  readShare: number;
  /** Told of each entry that is damaged, and of records of entries that are. */
  onDamage: (path: string, message: string) => void;
  onProgress: (bytes: number) => void;
}

/** How many records were looked at. */
export interface CheckCounts {
  segments: number;
  /** Data records that are there, as the server says. */
  present: number;
  /** Data records that were read and opened. */
  read: number;
}

export class CheckWalk {
  readonly counts: CheckCounts = { segments: 0, present: 0, read: 0 };
  readonly #options: CheckOptions;
  readonly #right = new IdFilter(CHECK.rememberedIds);
  /** Which data records are read: drawn anew in each run. */
  readonly #draw = crypto.getRandomValues(new Uint8Array(4));

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  /** Checks a snapshot's entries. Returns whether all are right. */
  checkTree(root: Root): Promise<boolean> {
    const { top: reference, totals, level } = root;
    return this.#checkNode({ reference, path: "/", totals }, level);
  }

  async #checkNode(item: IndexItem, level: number): Promise<boolean> {
    const { reference, path, totals } = item;
    if (this.#right.has(reference.id)) return true;
    let isRight = false;
    try {
      const content = await this.#options.load(reference);
      if (level === 0) {
        const entries = decodeSegment(content);
        if (entries.length !== totals.entries) {
          throw new DamagedError("Cannot read snapshot: wrong totals");
        }
        isRight = await this.#checkSegment(entries);
      } else {
        isRight = true;
        for (const below of decodeIndex(content, level)) {
          isRight = await this.#checkNode(below, level - 1) && isRight;
        }
      }
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      const state = `this and the following entries, ${totals.entries} in all, are lost`;
      this.#options.onDamage(path, `${state}: ${describeError(error)}`);
      return false;
    }
    if (isRight) this.#right.add(reference.id);
    return isRight;
  }

  async #checkSegment(entries: Entry[]): Promise<boolean> {
    this.counts.segments++;
    const damage = new Map<string, string>();
    const batch = new Batch();
    for (const entry of entries) {
      batch.add(entry.path, entry.extents ?? []);
      for (const { reference, length } of entry.lists ?? []) {
        await this.#checkList(entry.path, { reference, length, damage });
      }
    }
    await this.#checkBatch(batch, damage);
    for (const [path, message] of damage) this.#options.onDamage(path, message);
    return damage.size === 0;
  }

  async #checkList(
    path: string,
    { reference, length, damage }: {
      reference: Reference;
      length: number;
      damage: Map<string, string>;
    },
  ): Promise<void> {
    if (this.#right.has(reference.id)) return;
    try {
      const extents = decodeList(await this.#options.loader.load(reference));
      const total = extents.reduce((sum, extent) => sum + extent.length, 0);
      if (total !== length) throw new DamagedError("Cannot read list: another length");
      const before = damage.size;
      const batch = new Batch();
      batch.add(path, extents);
      await this.#checkBatch(batch, damage);
      if (damage.size === before && !damage.has(path)) this.#right.add(reference.id);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      damage.set(path, describeError(error));
    }
  }

  /** Looks at the data records of some entries: which are there, and of those that are drawn, what is in them. */
  async #checkBatch(batch: Batch, damage: Map<string, string>): Promise<void> {
    const records = batch.take().filter(({ reference }) => !this.#right.has(reference.id));
    const drawn = records.filter(({ reference }) => this.#isDrawn(reference.id));
    const others = records.filter(({ reference }) => !this.#isDrawn(reference.id));
    const fail = (record: BatchRecord, message: string) => {
      for (const path of record.paths) damage.set(path, message);
    };
    if (others.length > 0) {
      const there = await this.#options.session.has(others.map(({ reference }) => reference.id));
      others.forEach((record, i) => {
        if (!there[i]) {
          return fail(record, recordError(record.reference.id, RecordState.MISSING).message);
        }
        this.counts.present++;
        this.#right.add(record.reference.id);
      });
    }
    await this.#readAll(drawn, fail);
  }

  async #readAll(
    records: BatchRecord[],
    fail: (record: BatchRecord, message: string) => void,
  ): Promise<void> {
    for (let i = 0; i < records.length; i += CHECK.recordsPerRequest) {
      const part = records.slice(i, i + CHECK.recordsPerRequest);
      // Before the answers come: a session that has to be fetched would wait behind them.
      const keys = await Promise.all(part.map(({ reference }) => this.#findKey(reference)));
      const opens: Promise<void>[] = [];
      await this.#options.session.get(part.map(({ reference }) => reference.id), async (answer) => {
        const { index } = answer;
        opens.push(this.#checkRecord(part[index], { answer, key: keys[index], fail }));
        if (opens.length >= CHECK.opensMax) await opens.shift();
      });
      await Promise.all(opens);
    }
  }

  /** The key of a record, or why there is none. */
  async #findKey(reference: Reference): Promise<Uint8Array | DamagedError> {
    try {
      return await this.#options.loader.unmask(reference);
    } catch (error) {
      if (error instanceof DamagedError) return error;
      throw error;
    }
  }

  async #checkRecord(
    record: BatchRecord,
    { answer: { state, record: bytes }, key, fail }: {
      answer: RecordAnswer;
      key: Uint8Array | DamagedError;
      fail: (record: BatchRecord, message: string) => void;
    },
  ): Promise<void> {
    const { reference, end } = record;
    try {
      if (state !== RecordState.FOUND) throw recordError(reference.id, state);
      if (key instanceof DamagedError) throw key;
      const { type, plaintext } = openRecord(bytes, { id: reference.id, key });
      if (type !== RecordType.DATA || plaintext.length < end) {
        throw new DamagedError("Cannot read record: it holds less than its entries say");
      }
      this.counts.read++;
      this.#right.add(reference.id);
      this.#options.onProgress(plaintext.length);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      fail(record, describeError(error));
    }
  }

  #isDrawn(id: Uint8Array): boolean {
    const { readShare } = this.#options;
    let number = 0;
    for (let i = 0; i < 4; i++) number = number * 256 + (id[i] ^ this.#draw[i]);
    return number < readShare * 2 ** 32;
  }
}

/** A data record, and whose it is. */
interface BatchRecord {
  reference: Reference;
  /** How far its entries reach into it, bytes. */
  end: number;
  paths: Set<string>;
}

class Batch {
  readonly #records = new Map<string, BatchRecord>();

  add(path: string, extents: Extent[]): void {
    for (const { reference, offset, length } of extents) {
      if (reference === undefined) continue;
      const name = reference.id.toHex();
      let record = this.#records.get(name);
      if (record === undefined) {
        this.#records.set(name, record = { reference, end: 0, paths: new Set() });
      }
      record.end = Math.max(record.end, offset + length);
      record.paths.add(path);
    }
  }

  take(): BatchRecord[] {
    return [...this.#records.values()];
  }
}
