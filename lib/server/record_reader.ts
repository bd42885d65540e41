/**
 * Reads records of one vault by id (docs/store.md, "Damage"): in storage order, neighbours together, the next read on
 * its way while the last one is used. Every record is checked against its id, unless whoever asked does that anyway.
 */
import type { BlobStore } from "../blobs.ts";
import { equalBytes, releaseBuffer } from "../bytes.ts";
import type { RecordDatabase, RecordPlace, RecordRow } from "../db_records.ts";
import { isUnreadable } from "../durable.ts";
import { STORE } from "../limits.ts";
import type { Log } from "../log.ts";
import { recordId } from "../record.ts";
import { packBlobName } from "./pack_reader.ts";

export interface RecordReaderOptions {
  vault: { number: number; id: Uint8Array };
  blobs: BlobStore;
  records: RecordDatabase;
  log: Log;
  /** Repairs the pack with this number, if it has parity. Returns whether it is what it was. */
  heal: (pack: number) => Promise<boolean>;
}

/** What became of one id. */
export type ReadRecord =
  | { index: number; state: "found"; bytes: Uint8Array }
  | { index: number; state: "missing" | "damaged" };

/** What of a record's row says where it is. */
type PlaceRow = Pick<RecordRow, "pack" | "offset" | "size" | "damaged">;

interface Wanted {
  /** Place in the list of ids. */
  index: number;
  id: Uint8Array;
  row: PlaceRow;
}

/** Neighbours in one pack, read with one call. */
interface RunPlaces {
  pack: number;
  start: number;
  end: number;
  wanted: Wanted[];
}

/** And how. */
interface Run extends RunPlaces {
  /** Whether the pack may be repaired, if something in it is wrong: once is enough. */
  heals: boolean;
  /** Whether records are compared with their ids; those that are known to be damaged always are. */
  checks: boolean;
}

export class RecordReader {
  readonly #options: RecordReaderOptions;
  /** Of reads that have ended, for the next ones. */
  readonly #spareBuffers: GrowingBuffer[] = [];

  constructor(options: RecordReaderOptions) {
    this.#options = options;
  }

  /** Reads one record by its row. Undefined if it is damaged, which is then noted, or gone. */
  async read(id: Uint8Array, row: PlaceRow): Promise<Uint8Array | undefined> {
    const read = await this.#readOne({ index: 0, id, row });
    return read.state === "found" ? read.bytes : undefined;
  }

  async #readOne(wanted: Wanted, { heals } = { heals: true }): Promise<ReadRecord> {
    const { pack, offset, size } = wanted.row;
    const run = { pack, start: offset, end: offset + size, wanted: [wanted], heals, checks: true };
    return (await this.#readRun(run, new Uint8Array(size)))[0];
  }

  /**
   * Reads many, each id once, in the order in which they lie on the disk; those that are known to be damaged as well, for
   * a disk may have failed for a moment only, or somebody may have brought the pack back. The bytes of a record are valid
   * until the next one is asked for.
   *
   * @param checks false if whoever gets them compares them with their ids, and asks again if they are not right
   */
  async *readAll(ids: Uint8Array[], { checks } = { checks: true }): AsyncGenerator<ReadRecord> {
    const { vault, records } = this.#options;
    const rows = await records.findRecords(vault.number, ids);
    const wanted: Wanted[] = [];
    for (const [index, row] of rows.entries()) {
      if (row === undefined) yield { index, state: "missing" };
      else wanted.push({ index, id: ids[index], row });
    }
    yield* this.#readWanted(wanted, { checks });
  }

  /** Reads records of which it was looked up just now where they are, like `readAll`. */
  async *readPlaced(
    placed: (PlaceRow & { id: Uint8Array })[],
  ): AsyncGenerator<ReadRecord> {
    const wanted = placed.map((row, index) => ({ index, id: row.id, row }));
    yield* this.#readWanted(wanted, { checks: true });
  }

  async *#readWanted(
    wanted: Wanted[],
    { checks }: { checks: boolean },
  ): AsyncGenerator<ReadRecord> {
    const buffers = [0, 1].map(() => this.#spareBuffers.pop() ?? new GrowingBuffer());
    let ahead: Promise<ReadRecord[]> | undefined;
    let isOver = false;
    try {
      for (const places of planRuns(wanted)) {
        const run = { ...places, heals: true, checks };
        const reading = this.#readRun(run, buffers[0].take(run.end - run.start));
        reading.catch(() => {}); // it is awaited one run later
        buffers.reverse();
        if (ahead) yield* await ahead;
        ahead = reading;
      }
      if (ahead) yield* await ahead;
      isOver = true;
    } finally {
      // Unless it was left off: the disk may still be filling them.
      if (isOver) {
        for (const buffer of buffers) buffer.rest();
        if (this.#spareBuffers.length < buffers.length) this.#spareBuffers.push(...buffers);
      }
    }
  }

  async #readRun(run: Run, target: Uint8Array): Promise<ReadRecord[]> {
    const { vault, blobs, records, log } = this.#options;
    const name = await records.findPackName(vault.number, run.pack);
    const blobName = name && packBlobName({ vaultId: vault.id, name });
    let count = 0;
    try {
      if (blobName) count = await blobs.read(blobName, run.start, target) ?? 0;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      log.error("disk cannot read", error, { vault: vault.id.toHex(), pack: name });
      // A bad sector costs the records that lie on it, and not their neighbours.
      if (run.wanted.length > 1) return await this.#readEach(run);
    }
    const failed: Wanted[] = [];
    const mended: RecordPlace[] = [];
    const reads: ReadRecord[] = [];
    for (const wanted of run.wanted) {
      const { index, id, row } = wanted;
      const offset = row.offset - run.start;
      const bytes = target.subarray(offset, offset + row.size);
      const isUnseen = !run.checks && !row.damaged;
      const isRight = offset + row.size <= count &&
        (isUnseen || equalBytes(recordId(bytes), id));
      if (isRight) reads.push({ index, state: "found", bytes });
      else failed.push(wanted);
      if (isRight && row.damaged) mended.push({ id, pack: row.pack, offset: row.offset });
    }
    if (mended.length > 0 && await records.markMended(vault.number, mended) > 0) {
      log.info("records right again", {
        vault: vault.id.toHex(),
        pack: name,
        records: mended.length,
      });
    }
    if (failed.length > 0) reads.push(...await this.#retry({ ...run, wanted: failed }, name));
    return reads;
  }

  async #readEach({ wanted, heals }: Pick<Run, "wanted" | "heals">): Promise<ReadRecord[]> {
    const reads: ReadRecord[] = [];
    for (const item of wanted) reads.push(await this.#readOne(item, { heals }));
    return reads;
  }

  /** What is not right where it was read has been moved by collection meanwhile, or can be repaired, or is damaged. */
  async #retry(run: Run, name: string | undefined): Promise<ReadRecord[]> {
    const { vault, records, log, heal } = this.#options;
    const reads: ReadRecord[] = [];
    const wrong: Wanted[] = [];
    for (const { index, id, row } of run.wanted) {
      const now = await records.findRecord(vault.number, id);
      const isMoved = now !== undefined && (now.pack !== row.pack || now.offset !== row.offset);
      if (isMoved) reads.push(await this.#readOne({ index, id, row: now }));
      else if (now === undefined) reads.push({ index, state: "missing" });
      else wrong.push({ index, id, row: now });
    }
    if (wrong.length === 0) return reads;
    if (run.heals && await heal(run.pack)) {
      return [...reads, ...await this.#readEach({ wanted: wrong, heals: false })];
    }
    for (const { index } of wrong) reads.push({ index, state: "damaged" });
    const places = wrong.map(({ id, row }) => ({ id, pack: row.pack, offset: row.offset }));
    if (await records.markDamaged(vault.number, places) > 0) {
      log.warn("records damaged", { vault: vault.id.toHex(), pack: name, records: wrong.length });
    }
    return reads;
  }
}

/** Orders what is wanted as it lies on the disk, and joins what is close together. */
function* planRuns(wanted: Wanted[]): Generator<RunPlaces> {
  wanted.sort((a, b) => a.row.pack - b.row.pack || a.row.offset - b.row.offset);
  let run: RunPlaces | undefined;
  for (const item of wanted) {
    const { pack, offset, size } = item.row;
    const end = offset + size;
    const joins = run !== undefined && run.pack === pack &&
      offset - run.end <= STORE.readGapBytesMax && end - run.start <= STORE.joinedReadBytes;
    if (joins) {
      run!.wanted.push(item);
      run!.end = Math.max(run!.end, end);
      continue;
    }
    if (run) yield run;
    run = { pack, start: offset, end, wanted: [item] };
  }
  if (run) yield run;
}

/** A buffer that is used again, because new memory is slow, and replaced by a larger one when it is too small. */
class GrowingBuffer {
  #bytes = new Uint8Array(0);

  take(size: number): Uint8Array {
    if (this.#bytes.length < size) {
      releaseBuffer(this.#bytes);
      this.#bytes = new Uint8Array(Math.max(size, STORE.joinedReadBytes));
    }
    return this.#bytes.subarray(0, size);
  }

  /** Nobody reads from it any more. What a large record needed is not kept for the next ones. */
  rest(): void {
    if (this.#bytes.length <= STORE.joinedReadBytes) return;
    releaseBuffer(this.#bytes);
    this.#bytes = new Uint8Array(0);
  }
}
