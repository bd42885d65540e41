/**
 * The entries of the last snapshot of a set of paths, kept in the profile so that unchanged files need not be read
 * (docs/architecture.md, "Kept entries"). A file is a row of sealed blocks (`kept_seal.ts`), each with its size (4)
 * before it, under a key that follows from the file's own random id. One block for each segment, in order; then what they
 * belong to; then the size of that last block (4) once more. Written and read a block at a time.
 *
 * Whatever is wrong with such a file, it is as if it were not there: that takes longer, and nothing else.
 */
import { ByteReader, ByteWriter, concatBytes, equalBytes, releaseBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { BACKUP, FILE_PIECE_BYTES } from "../limits.ts";
import { RECORD_ID_BYTES, RecordType } from "../record.ts";
import type { RecordContent } from "../vault/seal.ts";
import { TAG_BYTES } from "../vault/aead.ts";
import { MASKED_KEY_BYTES, type Reference } from "../vault/session.ts";
import { EntryStamps } from "../vault/entry_stamps.ts";
import { BlockSealer } from "./kept_seal.ts";

const MAGIC = new TextEncoder().encode("holdfast kept 3\n");
const FILE_ID_BYTES = 16;
/** Number of the last block: its reader does not know yet how many come before it. */
const FINAL_NUMBER = 0xffff_ffff;
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
  /** Made of its contents when it is kept, if there are none. */
  stamps?: EntryStamps | undefined;
}

/** Writes a kept file block by block; until {@link KeptWriter.finish} nobody takes it for one. */
export class KeptWriter {
  readonly #file: Deno.FsFile;
  readonly #sealer: BlockSealer;
  #number = 0;

  /** @param key from which that of the file follows; it names the vault as well */
  constructor(path: string, key: Uint8Array) {
    const fileId = crypto.getRandomValues(new Uint8Array(FILE_ID_BYTES));
    this.#sealer = new BlockSealer(key, fileId);
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: 0o600 });
    this.#write(concatBytes(MAGIC, fileId));
  }

  addSegment({ reference, content, stamps }: KeptSegment): void {
    const { links, plaintext } = content;
    const { bytes } = stamps ?? EntryStamps.of(plaintext);
    const counts = new ByteWriter(6).u16(links.length).u32(bytes.length).done();
    const head = concatBytes(encodeReference(reference), counts, ...links, bytes);
    this.#writeBlock(this.#number++, [head, plaintext]);
  }

  finish({ root, startMs, entries, bytes, indexes, sparse }: KeptHead): void {
    const fields = new ByteWriter(HEAD_BYTES).u32(this.#number).bytes(root).u64(startMs)
      .u64(entries).u64(bytes).u32(indexes.length).done();
    const block = concatBytes(fields, ...indexes.map(encodeReference), ...sparse);
    const size = this.#writeBlock(FINAL_NUMBER, [block]);
    this.#write(new ByteWriter(4).u32(size).done());
    this.close();
  }

  close(): void {
    try {
      this.#file.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // it is closed already
    }
  }

  /** @returns the size of the sealed block */
  #writeBlock(number: number, block: Uint8Array[]): number {
    const sealed = this.#sealer.seal(number, block);
    const size = sealed.reduce((sum, part) => sum + part.length, 0);
    this.#write(new ByteWriter(4).u32(size).done());
    for (const part of sealed) {
      this.#write(part);
      releaseBytes(part);
    }
    return size;
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      at += this.#file.writeSync(bytes.subarray(at, at + FILE_PIECE_BYTES));
    }
  }
}

/** Reads a kept file. */
export class KeptFile implements Disposable {
  readonly head: KeptHead;
  readonly #file: Deno.FsFile;
  readonly #sealer: BlockSealer;
  /** How many segments there are. */
  readonly segmentCount: number;

  /** @throws {DamagedError} if it is not what {@link KeptWriter} made with this key */
  private constructor(file: Deno.FsFile, key: Uint8Array) {
    this.#file = file;
    const size = file.seekSync(0, Deno.SeekMode.End);
    const start = this.#readAt(0, MAGIC.length + FILE_ID_BYTES);
    if (!equalBytes(start.subarray(0, MAGIC.length), MAGIC)) throw damaged("unknown format");
    this.#sealer = new BlockSealer(key, start.subarray(MAGIC.length));
    const at = size - 4 - new ByteReader(this.#readAt(size - 4, 4)).u32() - 4;
    if (at < start.length) throw damaged("bad sizes");
    const reader = new ByteReader(this.#openBlock(at, FINAL_NUMBER).block);
    this.segmentCount = reader.u32();
    const [root, startMs] = [reader.bytes(RECORD_ID_BYTES), reader.u64()];
    const [entries, bytes] = [reader.u64(), reader.u64()];
    const indexes = Array.from({ length: reader.u32() }, () => readReference(reader));
    const sparse: Uint8Array[] = [];
    while (reader.remaining > 0) sparse.push(reader.bytes(RECORD_ID_BYTES).slice());
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
    for (let number = 0; number < this.segmentCount; number++) {
      const { block, end } = this.#openBlock(at, number);
      yield decodeSegmentBlock(block);
      at = end;
    }
  }

  #openBlock(at: number, number: number): { block: Uint8Array; end: number } {
    const size = new ByteReader(this.#readAt(at, 4)).u32();
    if (size < TAG_BYTES || size > BACKUP.keptRecordBytesMax) throw damaged("bad sizes");
    const sealed = this.#readAt(at + 4, size);
    const block = this.#sealer.open(number, sealed);
    releaseBytes(sealed);
    return { block, end: at + 4 + size };
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

/** Its fields have been checked: they are as they were written. */
function decodeSegmentBlock(block: Uint8Array): KeptSegment {
  const reader = new ByteReader(block);
  const reference = readReference(reader);
  const [linkCount, stampBytes] = [reader.u16(), reader.u32()];
  const links = Array.from({ length: linkCount }, () => reader.bytes(RECORD_ID_BYTES));
  const stamps = EntryStamps.decode(reader.bytes(stampBytes));
  const content = { type: RecordType.SEGMENT, links, plaintext: reader.rest() };
  return { reference, content, stamps };
}

function encodeReference({ id, session, maskedKey }: Reference): Uint8Array {
  return new ByteWriter(REFERENCE_BYTES).bytes(id).bytes(session).bytes(maskedKey).done();
}

/** Copied: a reference is kept for longer than the block that it stands in, which a view would keep whole. */
function readReference(reader: ByteReader): Reference {
  return {
    id: reader.bytes(RECORD_ID_BYTES).slice(),
    session: reader.bytes(RECORD_ID_BYTES).slice(),
    maskedKey: reader.bytes(MASKED_KEY_BYTES).slice(),
  };
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot use kept entries: ${state}`);
}
