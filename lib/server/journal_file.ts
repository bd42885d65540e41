/**
 * One vault's journal on disk (docs/store.md, "Journal files"): events are appended, and durable when the promise
 * settles. Nothing in it is ever changed; only an event that a crash cut short, and nobody was told of, is taken off.
 */
import { dirname } from "node:path";
import { ByteReader, ByteWriter, concatBytes, equalBytes } from "../bytes.ts";
import { syncDirectory, writeAll, writeFileDurably } from "../durable.ts";
import { DamagedError } from "../errors.ts";
import { EVENT_HASH_BYTES, eventHash } from "../journal.ts";
import { VAULT } from "../limits.ts";

const MAGIC = new TextEncoder().encode("hfjrnl4\n");
const JOURNAL_VERSION = 1;
const VAULT_ID_BYTES = 32;
const HEADER_BYTES = MAGIC.length + 1 + VAULT_ID_BYTES;
const SIZE_BYTES = 4;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/** An event as it stands in the file. */
export interface StoredEvent {
  event: Uint8Array<ArrayBuffer>;
  hash: Uint8Array<ArrayBuffer>;
  /** Of the event itself, in bytes. */
  offset: number;
}

/** Calls must not overlap. */
export class JournalFile implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** Offset behind the newest event that is in use. */
  #end: number;
  /** What lies behind this offset must be cut off before anything is appended: that has failed. */
  #brokenAt: number | undefined;

  private constructor(path: string, file: Deno.FsFile, end: number) {
    this.#path = path;
    this.#file = file;
    this.#end = end;
  }

  /** Makes a journal with its first event, durably. Returns the offset of the event. */
  static async create(
    path: string,
    { vaultId, event }: { vaultId: Uint8Array; event: Uint8Array },
  ): Promise<number> {
    const folder = dirname(path);
    await Deno.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    await syncDirectory(dirname(folder));
    const bytes = concatBytes(encodeHeader(vaultId), encodeStored(event));
    await writeFileDurably(path, bytes, { mode: FILE_MODE });
    return HEADER_BYTES + SIZE_BYTES;
  }

  /**
   * Opens a journal up to the newest event that the index has; {@link adopt} goes on from there.
   *
   * @throws {DamagedError} if acknowledged events are gone
   */
  static async open(
    path: string,
    { vaultId, newest }: {
      vaultId: Uint8Array;
      newest: { offset: number; size: number } | undefined;
    },
  ): Promise<JournalFile> {
    const file = await openIfThere(path);
    if (file === undefined) throw damaged("it is gone");
    try {
      const header = await readAt(file, 0, HEADER_BYTES);
      if (header === undefined || !equalBytes(header, encodeHeader(vaultId))) {
        throw damaged("its header is not one of this vault");
      }
      const end = newest === undefined ? HEADER_BYTES : endOf(newest);
      const { size } = await file.stat();
      if (size < end) throw damaged(`it ends at ${size}, but events up to ${end} are known`);
      return new JournalFile(path, file, end);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Takes over the events that the index does not have, in order.
   *
   * @param isWhole whether the index has every event that was ever acknowledged
   * @throws {DamagedError} if one of them is changed and may have been acknowledged
   */
  async adopt(isWhole: boolean, take: (stored: StoredEvent) => Promise<void>): Promise<void> {
    const { size } = await this.#file.stat();
    while (this.#end < size) {
      const stored = await this.#readStored(this.#end, size);
      if (stored === "cut short" || (stored === "changed" && isWhole)) {
        return await this.#cutOff(size);
      }
      if (stored === "changed") throw damaged(`the event at ${this.#end} is changed`);
      await take(stored);
      this.#end = endOf({ offset: stored.offset, size: stored.event.length });
    }
  }

  /** Appends an event, durably. On an error the journal is as before, or will be before it takes the next one. */
  async append(event: Uint8Array): Promise<StoredEvent> {
    if (this.#brokenAt !== undefined) await this.takeBack(this.#brokenAt);
    const start = this.#end;
    const bytes = encodeStored(event);
    try {
      await this.#file.seek(start, Deno.SeekMode.Start);
      await writeAll(this.#file, bytes);
      await this.#file.sync();
    } catch (error) {
      await this.takeBack(start);
      throw error;
    }
    this.#end = start + bytes.length;
    const own = bytes.subarray(SIZE_BYTES, SIZE_BYTES + event.length);
    return { event: own, hash: eventHash(own), offset: start + SIZE_BYTES };
  }

  /** Cuts off what was appended and must not be there: nobody was told of it. */
  async takeBack(end: number): Promise<void> {
    this.#brokenAt = end;
    await this.#file.truncate(end);
    await this.#file.sync();
    this.#end = end;
    this.#brokenAt = undefined;
  }

  /** Offset behind the newest event. */
  get end(): number {
    return this.#end;
  }

  /**
   * Reads neighbouring events with one read.
   *
   * @throws {DamagedError} if one of them is not what its row says
   */
  async read(
    rows: { offset: number; size: number; hash: Uint8Array }[],
  ): Promise<Uint8Array<ArrayBuffer>[]> {
    if (rows.length === 0) return [];
    const start = rows[0].offset;
    const last = rows[rows.length - 1];
    const bytes = await readAt(this.#file, start, last.offset + last.size - start);
    if (bytes === undefined) throw damaged("it is cut short");
    return rows.map(({ offset, size, hash }) => {
      const event = bytes.subarray(offset - start, offset - start + size);
      if (!equalBytes(eventHash(event), hash)) throw damaged(`the event at ${offset} is changed`);
      return event;
    });
  }

  /**
   * Gives the whole file up to the newest event in pieces, each event compared with its hash.
   *
   * @throws {DamagedError} if one is changed
   */
  async *copy(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    yield (await readAt(this.#file, 0, HEADER_BYTES))!;
    for (let at = HEADER_BYTES; at < this.#end;) {
      const stored = await this.#readStored(at, this.#end);
      if (typeof stored === "string") throw damaged(`the event at ${at} is ${stored}`);
      const bytes = encodeStored(stored.event);
      yield bytes;
      at += bytes.length;
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  async #readStored(at: number, end: number): Promise<StoredEvent | "cut short" | "changed"> {
    const prefix = await readAt(this.#file, at, SIZE_BYTES);
    if (prefix === undefined) return "cut short";
    const size = new ByteReader(prefix).u32();
    const offset = at + SIZE_BYTES;
    if (size === 0 || size > VAULT.eventBytesMax) return "changed";
    if (endOf({ offset, size }) > end) return "cut short";
    const bytes = await readAt(this.#file, offset, size + EVENT_HASH_BYTES);
    if (bytes === undefined) return "cut short";
    const event = bytes.subarray(0, size);
    const hash = eventHash(event);
    return equalBytes(hash, bytes.subarray(size)) ? { event, hash, offset } : "changed";
  }

  /** Takes the rest of the file off, after a copy of it was put beside the journal. */
  async #cutOff(size: number): Promise<void> {
    const rest = await readAt(this.#file, this.#end, size - this.#end);
    const copyPath = `${this.#path}.cut-${crypto.randomUUID().slice(0, 8)}`;
    if (rest !== undefined) await writeFileDurably(copyPath, rest, { mode: FILE_MODE });
    await this.takeBack(this.#end);
  }
}

function encodeHeader(vaultId: Uint8Array): Uint8Array {
  return new ByteWriter(HEADER_BYTES).bytes(MAGIC).u8(JOURNAL_VERSION).bytes(vaultId).done();
}

function encodeStored(event: Uint8Array): Uint8Array<ArrayBuffer> {
  return new ByteWriter(SIZE_BYTES + event.length + EVENT_HASH_BYTES)
    .u32(event.length).bytes(event).bytes(eventHash(event)).done();
}

function endOf({ offset, size }: { offset: number; size: number }): number {
  return offset + size + EVENT_HASH_BYTES;
}

async function openIfThere(path: string): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path, { read: true, write: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Reads a range; undefined if the file ends before. */
async function readAt(
  file: Deno.FsFile,
  offset: number,
  size: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  for (let filled = 0; filled < size;) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) return undefined;
    filled += count;
  }
  return bytes;
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot use journal: ${state}`);
}
