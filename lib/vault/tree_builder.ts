/**
 * Makes segments and index records of the entries of a snapshot (docs/format.md, "Records of text"). Holds the
 * open segment and one open index record for each level, however many entries there are.
 */
import { RecordType } from "../record.ts";
import { decodeEntry, encodeEntry, type Entry } from "./entry.ts";
import { moveLine } from "./entry_line.ts";
import { type EntryStamps, type KnownLine, StampList } from "./entry_stamps.ts";
import { encodeIndexItem, type IndexItem, type Totals } from "./index_record.ts";
import { keyedTextHash } from "./keyed_hash.ts";
import { comparePaths } from "./path_order.ts";
import { endsRun, INDEX_RUN, SEGMENT_RUN } from "./runs.ts";
import type { ReferenceTable } from "./reference_table.ts";
import type { RecordContent } from "./seal.ts";
import type { Reference } from "./session.ts";
import { TextRun } from "./text_run.ts";

/**
 * Seals and stores a record, or finds that it is there already; gives its reference.
 *
 * @param stamps of the entries, if it is a segment
 */
export type Emit = (content: RecordContent, stamps?: EntryStamps) => Promise<Reference>;

/** Where a snapshot's entries are. */
export interface Tree {
  /** A segment at level 0, an index record at higher ones. */
  top: Reference;
  level: number;
  totals: Totals;
}

/** One level: 0 collects entries, each other one the records of the level below. */
interface Level {
  run: TextRun;
  /** The open record's items: the first path and the sums. */
  firstPath: string;
  totals: Totals;
  /** Records that were closed on this level. */
  closed: number;
  /** The newest item, which is the whole tree if it stays the only one. */
  last?: IndexItem;
}

/** Takes entries in order and emits the records that hold them. */
export class TreeBuilder {
  readonly #pathTable: Uint32Array;
  readonly #emit: Emit;
  readonly #levels: Level[] = [];
  /** Of the open segment. */
  readonly #stamps = new StampList();
  #lastPath: string | undefined;

  /** @param pathTable from the write secret */
  constructor({ pathTable, emit }: { pathTable: Uint32Array; emit: Emit }) {
    this.#pathTable = pathTable;
    this.#emit = emit;
  }

  /**
   * Takes the next entry. Calls must not overlap.
   *
   * @returns what is to be waited for before the next one, if there is something: most entries end no record
   * @throws {RangeError} if it is not behind the one before it in path order
   */
  add(entry: Entry): Promise<void> | undefined {
    const references = (entry.extents?.length ?? 0) + (entry.lists?.length ?? 0);
    const room = this.#makeRoom(references);
    return room === undefined ? this.#addEntry(entry) : room.then(() => this.#addEntry(entry));
  }

  /**
   * Takes the next entries as their lines in another segment, with that one's references.
   *
   * @throws {RangeError} if one is not behind the one before it in path order
   */
  async addLines(lines: Iterable<KnownLine>, references: Reference[]): Promise<void> {
    for (const known of lines) {
      const { line, size, extent } = known;
      if (extent === undefined && size > 0) {
        await this.add(decodeEntry(line, references));
        continue;
      }
      // Most lines end no record, and then nothing is waited for: there may be very many.
      const room = this.#makeRoom(extent === undefined ? 0 : 1);
      if (room !== undefined) await room;
      const closing = this.#addItem(known, (table) => {
        const place = extent === undefined ? 0 : table.add(references[extent.place]);
        this.#stamps.copy(known, place);
        if (extent === undefined || place === extent.place) return line;
        return moveLine(line, place, extent);
      });
      if (closing !== undefined) await closing;
    }
  }

  /**
   * Enters a segment that is there already, in place of its entries.
   *
   * @returns false, and does nothing, if a segment is open: then its entries may belong into that
   * @throws {RangeError} if it is not behind the entry before it in path order
   */
  async addSegment(item: IndexItem, lastPath: string): Promise<boolean> {
    if (this.#level(0).run.items > 0) return false;
    this.#follow(item.path);
    this.#lastPath = lastPath;
    await this.#enter(1, item);
    return true;
  }

  /**
   * Emits what is open.
   *
   * @throws {RangeError} if there was no entry
   */
  async finish(): Promise<Tree> {
    if (this.#lastPath === undefined) throw new RangeError("A tree without entries");
    for (let number = 0;; number++) {
      const level = this.#level(number);
      const { last } = level;
      if (number > 0 && level.closed === 0 && level.run.items === 1 && last !== undefined) {
        return { top: last.reference, level: number - 1, totals: last.totals };
      }
      if (level.run.items > 0) await this.#close(number);
    }
  }

  /** Closes the open segment if so many references may not fit. */
  #makeRoom(references: number): Promise<void> | undefined {
    return this.#level(0).run.hasRoom(references) ? undefined : this.#close(0);
  }

  #addEntry(entry: Entry): Promise<void> | undefined {
    return this.#addItem(entry, (table) => {
      const line = encodeEntry(entry, table);
      this.#stamps.add(entry, table);
      return line;
    });
  }

  /** Adds an entry to the open segment, and closes that if it ends there. */
  #addItem(
    { path, type, size }: Pick<Entry, "path" | "type" | "size">,
    encode: (table: ReferenceTable) => string,
  ): Promise<void> | undefined {
    this.#follow(path);
    this.#lastPath = path;
    const level = this.#level(0);
    level.run.add(encode);
    addItem(level, path, { entries: 1, files: type === "file" ? 1 : 0, bytes: size });
    return this.#ends(0, path) ? this.#close(0) : undefined;
  }

  /** Emits the open record of a level and enters it one level up. */
  async #close(number: number): Promise<void> {
    const level = this.#level(number);
    const [content, stamps] = number === 0
      ? [level.run.take(RecordType.SEGMENT), this.#stamps.take()]
      : [level.run.take(RecordType.INDEX, { level: number }), undefined];
    const { firstPath: path, totals } = level;
    level.totals = { entries: 0, files: 0, bytes: 0 };
    level.closed++;
    await this.#enter(number + 1, { reference: await this.#emit(content, stamps), path, totals });
  }

  /** Adds a record of the level below. */
  async #enter(number: number, item: IndexItem): Promise<void> {
    const level = this.#level(number);
    level.run.add((table) => {
      table.add(item.reference);
      return encodeIndexItem(item);
    });
    level.last = item;
    addItem(level, item.path, item.totals);
    if (this.#ends(number, item.path)) await this.#close(number);
  }

  #follow(path: string): void {
    if (this.#lastPath !== undefined && comparePaths(this.#lastPath, path) >= 0) {
      throw new RangeError("Entries are not in order");
    }
  }

  #ends(number: number, path: string): boolean {
    const { items, chars } = this.#level(number).run;
    const hash = () => keyedTextHash(this.#pathTable, number, path);
    return endsRun(number === 0 ? SEGMENT_RUN : INDEX_RUN, { items, chars, hash });
  }

  #level(number: number): Level {
    const level = this.#levels[number];
    if (level !== undefined) return level;
    const totals = { entries: 0, files: 0, bytes: 0 };
    return this.#levels[number] = { run: new TextRun(), firstPath: "", totals, closed: 0 };
  }
}

function addItem(level: Level, path: string, { entries, files, bytes }: Totals): void {
  if (level.run.items === 1) level.firstPath = path;
  level.totals.entries += entries;
  level.totals.files += files;
  level.totals.bytes += bytes;
}
