/**
 * Sends records to the server: asks which are there already (HAS), for many at once while more are made,
 * and puts the others. What is held here and what is on its way has a bound; past it the sender's users wait.
 */
import { BACKUP } from "../limits.ts";
import { RecentIds } from "./recent_ids.ts";
import type { VaultClientSession } from "./session_v4.ts";

/** What a sender needs of a connection. */
export type RecordStore = Pick<VaultClientSession, "has" | "put" | "flush" | "waitForRoom">;

interface OwnedRecord {
  id: Uint8Array;
  /** One behind the other they are the record. */
  parts: Uint8Array[];
  /** Called when it is not needed any more. */
  release?: () => void;
}

export class RecordSender {
  readonly #store: RecordStore;
  readonly #recent = new RecentIds(BACKUP.recentIdsMax);
  /** Records of which it is not known yet whether the server has them. */
  #unasked: OwnedRecord[] = [];
  /** Records that the server does not have. */
  #absent: OwnedRecord[] = [];
  /** Of records that wait here for an answer, or for their turn. */
  #heldBytes = 0;
  #unstoredBytes = 0;
  #isAsking = false;
  #isPutting = false;
  #failure: { error: unknown } | undefined;
  /** Woken when there is room, when all is sent, or when it has failed. */
  #wakers: (() => void)[] = [];
  #sentBytes = 0;
  #sentRecords = 0;

  constructor(store: RecordStore) {
    this.#store = store;
  }

  /** Bytes and number of the records that were put, not counting those that were there already. */
  get sent(): { bytes: number; records: number } {
    return { bytes: this.#sentBytes, records: this.#sentRecords };
  }

  /** Size of all records that are not durable yet. */
  get liveBytes(): number {
    return this.#heldBytes + this.#unstoredBytes;
  }

  /** Takes a record, and waits while there are too many. It is durable when {@link drain} is done. */
  async send(record: OwnedRecord): Promise<void> {
    this.#check();
    if (!this.#recent.add(record.id)) return record.release?.();
    this.#unasked.push(record);
    this.#heldBytes += sizeOf(record);
    if (!this.#isAsking) void this.#askAll();
    while (this.#heldBytes > BACKUP.heldBytesMax) await this.#sleep();
  }

  /** Waits until all that was taken is durable. */
  async drain(): Promise<void> {
    while (this.#isAsking || this.#isPutting) await this.#sleep();
    this.#check();
    await this.#store.flush();
    this.#check();
  }

  /** Asks on while what is known to be absent is put: an answer takes as long as the records before it. */
  async #askAll(): Promise<void> {
    this.#isAsking = true;
    try {
      while (this.#unasked.length > 0) {
        const batch = this.#unasked;
        this.#unasked = [];
        const present = await this.#store.has(batch.map(({ id }) => id));
        for (const [index, record] of batch.entries()) {
          if (present[index]) this.#letGo(record);
          else this.#absent.push(record);
        }
        if (!this.#isPutting) void this.#putAll();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isAsking = false;
      this.#wake();
    }
  }

  async #putAll(): Promise<void> {
    this.#isPutting = true;
    try {
      for (let record; (record = this.#absent.shift()) !== undefined;) await this.#put(record);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isPutting = false;
      this.#wake();
    }
  }

  async #put(record: OwnedRecord): Promise<void> {
    const size = sizeOf(record);
    while (this.#unstoredBytes > BACKUP.unstoredBytesMax) await this.#sleep();
    await this.#store.waitForRoom(size);
    this.#heldBytes -= size;
    this.#wake();
    this.#sentBytes += size;
    this.#sentRecords++;
    this.#unstoredBytes += size;
    this.#store.put(record.id, ...record.parts).then(() => {
      this.#unstoredBytes -= size;
      record.release?.();
      this.#wake();
    }, (error) => this.#fail(error));
  }

  #letGo(record: OwnedRecord): void {
    this.#heldBytes -= sizeOf(record);
    record.release?.();
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #sleep(): Promise<void> {
    await new Promise<void>((resolve) => this.#wakers.push(resolve));
    this.#check();
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}

function sizeOf({ parts }: OwnedRecord): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
