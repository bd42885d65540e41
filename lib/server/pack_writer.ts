/**
 * Writes the records of one vault into packs (docs/store.md, "Packs"). Two stages run side by side: while one pack is
 * flushed, named and indexed, the next one takes records. A record is durable when its pack's stages are all done.
 */
import type { BlobStore, BlobWriter } from "../blobs.ts";
import { joinSmall } from "../bytes.ts";
import type { PackEntry, RecordDatabase } from "../db_records.ts";
import { STORE } from "../limits.ts";
import type { RecordType } from "../record.ts";
import type { Clock } from "../time.ts";
import {
  encodePackHeader,
  encodePackPrefix,
  encodePackTrailer,
  PACK_HEADER_BYTES,
  PACK_PREFIX_BYTES,
} from "./pack_format.ts";

/** A record whose bytes have been checked against its id. */
export interface CheckedRecord {
  id: Uint8Array;
  type: RecordType;
  bytes: Uint8Array;
}

/** How far a record is. Both reject when its pack fails. */
export interface Appended {
  /** The record's bytes are with the system; the caller may change them. */
  written: Promise<void>;
  /** The record survives whatever happens. */
  durable: Promise<void>;
}

export interface PackWriterOptions {
  vault: { number: number; id: Uint8Array };
  blobs: BlobStore;
  /** Takes a pack that is durable. */
  records: Pick<RecordDatabase, "addPack">;
  clock: Clock;
}

export class PackWriter {
  readonly #options: PackWriterOptions;
  #open: OpenPack | undefined;
  /** Packs that were closed and are not durable yet, oldest first. */
  readonly #finishing = new Set<OpenPack>();
  #lastNameMs = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Appends a record. One that is on its way already is not written twice. */
  append(record: CheckedRecord): Appended {
    const onItsWay = this.#find(record.id);
    if (onItsWay) return onItsWay;
    if (this.#open !== undefined && !this.#open.takes(record)) this.finish();
    this.#open ??= this.#openPack();
    const appended = this.#open.append(record, this.#options.clock.elapsed());
    if (this.#open.isFull) this.finish();
    return appended;
  }

  /** Ends the pack that is open, if one is; its records will be durable. */
  finish(): void {
    const pack = this.#open;
    if (pack === undefined) return;
    this.#open = undefined;
    this.#finishing.add(pack);
    pack.finish();
    const forget = () => void this.#finishing.delete(pack);
    pack.durable.then(forget, forget);
  }

  /** Ends the open pack, and waits for all; whether they succeeded is told to whom they belong. */
  async flush(): Promise<void> {
    this.finish();
    await Promise.allSettled([...this.#finishing].map((pack) => pack.durable));
  }

  /** The same, and says if one of them failed. */
  async close(): Promise<void> {
    this.finish();
    await Promise.all([...this.#finishing].map((pack) => pack.durable));
  }

  /** Ends the open pack when it is quiet, or old. To be called several times a second. */
  sweep(): void {
    const now = this.#options.clock.elapsed();
    const pack = this.#open;
    if (pack === undefined) return;
    const isQuiet = now - pack.lastAppendMs >= STORE.packQuietMs;
    if (isQuiet || now - pack.firstAppendMs >= STORE.packAgeMsMax) this.finish();
  }

  get isIdle(): boolean {
    return this.#open === undefined && this.#finishing.size === 0;
  }

  #find(id: Uint8Array): Appended | undefined {
    const name = id.toHex();
    for (const pack of this.#finishing) {
      const found = pack.find(name);
      if (found) return found;
    }
    return this.#open?.find(name);
  }

  #openPack(): OpenPack {
    const { vault, clock } = this.#options;
    const timeMs = Math.max(clock.wall(), this.#lastNameMs + 1);
    this.#lastNameMs = timeMs;
    const time = timeMs.toString(16).padStart(12, "0");
    const name = `${time}-${crypto.randomUUID().slice(0, 8)}`;
    return new OpenPack(name, { ...this.#options, folder: vault.id.toHex() });
  }
}

/** One pack on its way from its first record to its rows. */
class OpenPack {
  readonly #name: string;
  readonly #options: PackWriterOptions & { folder: string };
  readonly #entries: PackEntry[] = [];
  readonly #ids = new Map<string, Appended>();
  readonly #durable = Promise.withResolvers<void>();
  readonly #writer: Promise<BlobWriter>;
  #queue: Uint8Array[];
  /** Settled when what is queued now is written. */
  #queued = newBatch();
  #isWriting = false;
  #bytes = PACK_HEADER_BYTES;
  firstAppendMs = 0;
  lastAppendMs = 0;
  /** What made the first write fail. After it nobody knows how much was written: nothing may follow. */
  #failure: { error: unknown } | undefined;

  constructor(name: string, options: PackWriterOptions & { folder: string }) {
    this.#name = name;
    this.#options = options;
    this.#queue = [encodePackHeader(options.vault.id)];
    this.#writer = options.blobs.create(`${options.folder}/${name}`);
    this.#writer.catch(() => {}); // the first write awaits it
    this.durable.catch(() => {}); // those whose records are in it await it, and there may be none left
  }

  get durable(): Promise<void> {
    return this.#durable.promise;
  }

  get isFull(): boolean {
    return this.#bytes >= STORE.packBytes || this.#entries.length >= STORE.packRecordsMax;
  }

  takes({ bytes }: CheckedRecord): boolean {
    if (this.#failure) return false;
    const size = this.#bytes + PACK_PREFIX_BYTES + bytes.length;
    return size <= STORE.packBytes || this.#entries.length === 0;
  }

  find(id: string): Appended | undefined {
    return this.#failure ? undefined : this.#ids.get(id);
  }

  append({ id, type, bytes }: CheckedRecord, now: number): Appended {
    if (this.#entries.length === 0) this.firstAppendMs = now;
    this.lastAppendMs = now;
    const entry = {
      id: id.slice(),
      type,
      offset: this.#bytes + PACK_PREFIX_BYTES,
      size: bytes.length,
    };
    this.#entries.push(entry);
    this.#bytes += PACK_PREFIX_BYTES + bytes.length;
    this.#queue.push(encodePackPrefix(entry), bytes);
    const appended = { written: this.#write(), durable: this.durable };
    this.#ids.set(id.toHex(), appended);
    return appended;
  }

  finish(): void {
    this.#finish().then(this.#durable.resolve, (error) => {
      this.#failure ??= { error };
      this.#durable.reject(error);
    });
  }

  async #finish(): Promise<void> {
    const { vault, records } = this.#options;
    try {
      const trailer = encodePackTrailer(vault.id, this.#entries);
      this.#bytes += trailer.length;
      this.#queue.push(trailer);
      await this.#write();
      await (await this.#writer).finish();
    } catch (error) {
      await this.#abort();
      throw error;
    }
    const pack = { name: this.#name, bytes: this.#bytes, entries: this.#entries };
    await records.addPack(vault.number, pack);
  }

  /** Writes what is queued, and then what is queued meanwhile. One loop at a time. @returns done when the former is written */
  #write(): Promise<void> {
    const { promise } = this.#queued;
    if (!this.#isWriting) void this.#drain();
    return promise;
  }

  async #drain(): Promise<void> {
    this.#isWriting = true;
    while (this.#queue.length > 0) {
      const [pieces, batch] = [this.#queue, this.#queued];
      [this.#queue, this.#queued] = [[], newBatch()];
      try {
        const writer = await this.#writer;
        if (this.#failure) throw this.#failure.error;
        for (const bytes of joinSmall(pieces, STORE.joinedWriteBytes)) await writer.write(bytes);
        batch.resolve();
      } catch (error) {
        this.#failure ??= { error };
        batch.reject(error);
      }
    }
    this.#isWriting = false; // in the same turn as the last look at the queue
  }

  async #abort(): Promise<void> {
    try {
      await (await this.#writer).abort();
    } catch {
      // What made the pack fail is reported; a temporary file is removed at the next start.
    }
  }
}

function newBatch(): PromiseWithResolvers<void> {
  const batch = Promise.withResolvers<void>();
  batch.promise.catch(() => {}); // `durable` tells it too
  return batch;
}
