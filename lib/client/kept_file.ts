/**
 * The entries of the last snapshot of a set of paths, kept in the profile so that unchanged files need not be read
 * (docs/backup.md, "Kept entries"). A file is a row of blocks, each with its size (4) and a keyed hash (32) over
 * the file's own random id, the block's number and its bytes. One block for each segment, in order; then what they
 * belong to; then the size of that last block (4) once more. Written and read a block at a time.
 *
 * Whatever is wrong with such a file, it is as if it were not there: that takes longer, and nothing else.
 */
import { ByteReader, ByteWriter, concatBytes, equalBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { HASH_BYTES, hmac } from "../kdf.ts";
import { BACKUP } from "../limits.ts";
import { RECORD_ID_BYTES, RecordType } from "../record.ts";
import type { RecordContent } from "../vault/seal.ts";
import { MASKED_KEY_BYTES, type Reference } from "../vault/session.ts";

const MAGIC = new TextEncoder().encode("holdfast kept 1\n");
const FILE_ID_BYTES = 16;
/** Number of segments 4, root 32, start 8, entries 8, bytes 8, number of index records 4. */
const HEAD_BYTES = 4 + RECORD_ID_BYTES + 8 + 8 + 8 + 4;
const REFERENCE_BYTES = 2 * RECORD_ID_BYTES + MASKED_KEY_BYTES;

/** What the segments belong to. */
export interface KeptHead {
  /** Id of the root. 32 bytes. */
  root: Uint8Array;
  /** When the walk began, milliseconds since 1970. */
  startMs: number;
  /** Entries in all, and bytes in files: what the next backup may expect. */
  entries: number;
  bytes: number;
  /** References of the index records. */
  indexes: Reference[];
  /** Ids of records of small files of which too little is in use. */
  sparse: Uint8Array[];
}

/** A segment as it was emitted. */
export interface KeptSegment {
  reference: Reference;
  content: RecordContent;
}

/** Writes a kept file block by block; until {@link KeptWriter.finish} nobody takes it for one. */
export class KeptWriter {
  readonly #file: Deno.FsFile;
  readonly #key: Uint8Array;
  readonly #fileId = crypto.getRandomValues(new Uint8Array(FILE_ID_BYTES));
  #number = 0;

  /** @param key of the keyed hash; it names the vault as well */
  constructor(path: string, key: Uint8Array) {
    this.#key = key;
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: 0o600 });
    this.#write(concatBytes(MAGIC, this.#fileId));
  }

  addSegment({ reference, content }: KeptSegment): void {
    const { links, plaintext } = content;
    const count = new ByteWriter(2).u16(links.length).done();
    this.#writeBlock(concatBytes(encodeReference(reference), count, ...links, plaintext));
  }

  finish({ root, startMs, entries, bytes, indexes, sparse }: KeptHead): void {
    const fields = new ByteWriter(HEAD_BYTES).u32(this.#number).bytes(root).u64(startMs)
      .u64(entries).u64(bytes).u32(indexes.length).done();
    const block = concatBytes(fields, ...indexes.map(encodeReference), ...sparse);
    this.#writeBlock(block);
    this.#write(new ByteWriter(4).u32(block.length).done());
    this.close();
  }

  close(): void {
    try {
      this.#file.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // it is closed already
    }
  }

  #writeBlock(block: Uint8Array): void {
    const hash = blockHash(this.#key, { fileId: this.#fileId, number: this.#number++, block });
    this.#write(concatBytes(new ByteWriter(4).u32(block.length).done(), hash));
    this.#write(block);
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }
}

/** Reads a kept file. */
export class KeptFile implements Disposable {
  readonly head: KeptHead;
  readonly #file: Deno.FsFile;
  readonly #key: Uint8Array;
  readonly #fileId: Uint8Array;
  readonly #segments: number;

  /** @throws {DamagedError} if it is not what {@link KeptWriter} made with this key */
  private constructor(file: Deno.FsFile, key: Uint8Array) {
    this.#file = file;
    this.#key = key;
    const size = file.seekSync(0, Deno.SeekMode.End);
    const start = this.#readAt(0, MAGIC.length + FILE_ID_BYTES);
    if (!equalBytes(start.subarray(0, MAGIC.length), MAGIC)) throw damaged("unknown format");
    this.#fileId = start.subarray(MAGIC.length);
    const lastBytes = new ByteReader(this.#readAt(size - 4, 4)).u32();
    const at = size - 4 - lastBytes - HASH_BYTES;
    if (lastBytes > BACKUP.keptRecordBytesMax || at < start.length) throw damaged("bad sizes");
    const rest = this.#readAt(at, HASH_BYTES + lastBytes);
    const block = rest.subarray(HASH_BYTES);
    if (block.length < HEAD_BYTES) throw damaged("cut short");
    const reader = new ByteReader(block);
    this.#segments = reader.u32();
    this.#check(rest.subarray(0, HASH_BYTES), { number: this.#segments, block });
    const [root, startMs] = [reader.bytes(RECORD_ID_BYTES), reader.u64()];
    const [entries, bytes] = [reader.u64(), reader.u64()];
    const indexes = Array.from({ length: reader.u32() }, () => readReference(reader));
    const sparse: Uint8Array[] = [];
    while (reader.remaining > 0) sparse.push(reader.bytes(RECORD_ID_BYTES));
    this.head = { root, startMs, entries, bytes, indexes, sparse };
  }

  /** Undefined if there is none, or none that can be used. */
  static open(path: string, key: Uint8Array): KeptFile | undefined {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
    try {
      return new KeptFile(file, key);
    } catch (error) {
      file.close();
      if (error instanceof DamagedError) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** @throws {DamagedError} when a block is not what was written */
  *segments(): Generator<KeptSegment> {
    let at = MAGIC.length + FILE_ID_BYTES;
    for (let number = 0; number < this.#segments; number++) {
      const prefix = this.#readAt(at, 4 + HASH_BYTES);
      const size = new ByteReader(prefix).u32();
      if (size > BACKUP.keptRecordBytesMax) throw damaged("bad sizes");
      const block = this.#readAt(at + prefix.length, size);
      this.#check(prefix.subarray(4), { number, block });
      yield decodeSegmentBlock(block);
      at += prefix.length + size;
    }
  }

  #check(hash: Uint8Array, { number, block }: { number: number; block: Uint8Array }): void {
    const right = blockHash(this.#key, { fileId: this.#fileId, number, block });
    if (!equalBytes(hash, right)) throw damaged("other bytes than were written");
  }

  #readAt(offset: number, size: number): Uint8Array {
    if (offset < 0) throw damaged("cut short");
    const bytes = new Uint8Array(size);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let filled = 0; filled < size;) {
      const count = this.#file.readSync(bytes.subarray(filled));
      if (count === null) throw damaged("cut short");
      filled += count;
    }
    return bytes;
  }
}

function blockHash(
  key: Uint8Array,
  { fileId, number, block }: { fileId: Uint8Array; number: number; block: Uint8Array },
): Uint8Array {
  return hmac(key, fileId, new ByteWriter(4).u32(number).done(), block);
}

/** Its fields have been checked: they are as they were written. */
function decodeSegmentBlock(block: Uint8Array): KeptSegment {
  const reader = new ByteReader(block);
  const reference = readReference(reader);
  const links = Array.from({ length: reader.u16() }, () => reader.bytes(RECORD_ID_BYTES));
  return { reference, content: { type: RecordType.SEGMENT, links, plaintext: reader.rest() } };
}

function encodeReference({ id, session, maskedKey }: Reference): Uint8Array {
  return new ByteWriter(REFERENCE_BYTES).bytes(id).bytes(session).bytes(maskedKey).done();
}

function readReference(reader: ByteReader): Reference {
  return {
    id: reader.bytes(RECORD_ID_BYTES),
    session: reader.bytes(RECORD_ID_BYTES),
    maskedKey: reader.bytes(MASKED_KEY_BYTES),
  };
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot use kept entries: ${state}`);
}
