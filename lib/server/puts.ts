/**
 * The PUTs of one connection (docs/protocol_v4.md, "Backup"): checked, handed to the vault's packs, and acknowledged
 * when they are durable, many with one answer. Two records are in memory at most: one comes while one is written.
 */
import type { RecordDatabase } from "../db_records.ts";
import { DamagedError } from "../errors.ts";
import { WIRE } from "../limits.ts";
import { equalBytes, releaseBuffer } from "../bytes.ts";
import { ErrorCode, type PutMessage } from "../protocol_v4.ts";
import { decodeRecord, recordId, type RecordType } from "../record.ts";
import type { Share } from "./budget.ts";
import { RequestError } from "./request_error.ts";
import type { Vault } from "./vault_store.ts";

export interface PutOptions {
  vault: Vault;
  records: RecordDatabase;
  /** The device that stores. */
  device: Uint8Array;
  /** Sends STORED for these requests. */
  acknowledge: (requestIds: number[]) => void;
  /** Answers a request with an error. */
  fail: (requestId: number, error: unknown) => void;
}

export class Puts {
  readonly #options: PutOptions;
  #writing: Promise<void> = Promise.resolve();
  /** Packs that hold unacknowledged records of this connection. */
  readonly #pending = new Set<Promise<void>>();
  #pendingBytes = 0;
  #stored: number[] = [];

  constructor(options: PutOptions) {
    this.#options = options;
  }

  /** Whether PUTs are not answered yet. */
  get isPending(): boolean {
    return this.#pending.size > 0;
  }

  /**
   * Takes a record, and unless it throws the buffer that it is in, which is given back. Settles when the next may come;
   * the answer comes later.
   *
   * @throws {RequestError} `BAD_RECORD`, `NO_SPACE`
   */
  async put(requestId: number, message: PutMessage, share: Share): Promise<void> {
    const { vault, records, device } = this.#options;
    const { id, record } = message;
    const type = checkRecord(message);
    if (await records.keepRecord(vault.number, id)) {
      this.#store(requestId);
      releaseBuffer(record);
      share.release();
      return;
    }
    await vault.quota.takeBytes(record.length);
    await vault.quota.pace(device, record.length);
    const { written, durable } = vault.packs.append({ id, type, bytes: record });
    const before = this.#writing;
    const bytes = record.length;
    this.#writing = written.catch(() => {}).finally(() => { // `durable` tells it
      releaseBuffer(record);
      share.release();
    });
    this.#follow(requestId, { durable, bytes });
    await before;
  }

  /** Waits while too much is unacknowledged. */
  async waitForRoom(): Promise<void> {
    while (this.#pendingBytes > WIRE.windowBytes) await Promise.race(this.#pending).catch(() => {});
  }

  /** Ends the pack, and waits until every PUT so far is answered. */
  async flush(): Promise<void> {
    if (!this.isPending) return;
    this.#options.vault.packs.finish();
    await Promise.allSettled([...this.#pending]);
    this.#acknowledge();
  }

  #follow(
    requestId: number,
    { durable, bytes }: { durable: Promise<void>; bytes: number },
  ): void {
    this.#pendingBytes += bytes;
    this.#pending.add(durable);
    const settle = () => {
      this.#pendingBytes -= bytes;
      this.#pending.delete(durable);
    };
    durable.then(() => {
      settle();
      this.#store(requestId);
    }, (error) => {
      settle();
      this.#options.fail(requestId, error);
    });
  }

  /** Notes a stored record; all of the same turn are acknowledged together. */
  #store(requestId: number): void {
    if (this.#stored.length === 0) queueMicrotask(() => this.#acknowledge());
    this.#stored.push(requestId);
  }

  #acknowledge(): void {
    while (this.#stored.length > 0) {
      this.#options.acknowledge(this.#stored.splice(0, WIRE.storedIdsMax));
    }
  }
}

/** The type of a record that is what its id says. @throws {RequestError} `BAD_RECORD` */
function checkRecord({ id, record }: PutMessage): RecordType {
  try {
    const { type } = decodeRecord(record);
    if (equalBytes(recordId(record), id)) return type;
  } catch (cause) {
    if (!(cause instanceof DamagedError)) throw cause;
    throw new RequestError(ErrorCode.BAD_RECORD, cause.message, cause);
  }
  throw new RequestError(ErrorCode.BAD_RECORD, "Cannot accept record: its id is another");
}
