/**
 * What the file system told of the entries of a segment, as numbers beside its text: comparing numbers takes a tenth of
 * the time of making text of them. They leave to the text whatever numbers cannot tell.
 */
import { VAULT } from "../limits.ts";
import type { Entry, Extent } from "./entry.ts";
import {
  type BareEntry,
  type EntryType,
  type LineFacts,
  type OneExtent,
  readPath,
} from "./entry_line.ts";
import type { ReferenceTable } from "./reference_table.ts";
import type { Reference } from "./session.ts";

const TYPES: EntryType[] = ["file", "dir"];
/** What `encodeEntry()` (`vault/entry.ts`) writes before, between and behind the numbers of a line. */
const PATH = toBytes('{"path":"');
const [FILE, FOLDER] = TYPES.map((type) => toBytes(`","type":"${type}"`));
const FIELDS = ["size", "mode", "uid", "gid", "mtime", "ctime", "ino", "nlink"]
  .map((name) => toBytes(`,"${name}":`));
const [EXTENT, COMMA, EXTENT_END] = [',"extents":[[', ",", "]]"].map(toBytes);
const [QUOTE, BACKSLASH, LINE_FEED, MINUS, BRACE, ZERO, NINE] = toBytes('"\\\n-}09');

/** Type, fields, and where the contents are: place and offset. */
const NUMBERS = 1 + FIELDS.length + 2;
const PLACE = NUMBERS - 2;
/** In place of a place: there are no contents; the line has to tell. */
const [NO_CONTENTS, NOT_SAID] = [-1, -2];
/** Entries for which a list has room at the beginning. */
const STARTING_COUNT = 1024;
const NO_EXTENTS: Extent[] = [];
const NOTHING = { offset: 0 };

/** A line of a segment that is there already. */
export interface KnownLine extends LineFacts {
  /** What says the same beside the line, and the number of the entry there; undefined where only the line does. */
  stamps: EntryStamps | undefined;
  number: number;
}

export class EntryStamps {
  readonly #numbers: Float64Array<ArrayBuffer>;

  /** @param numbers as {@link StampList} and {@link EntryStamps.of} make them */
  constructor(numbers: Float64Array<ArrayBuffer>) {
    this.#numbers = numbers;
  }

  /** @param plaintext of a segment */
  static of(plaintext: Uint8Array): EntryStamps {
    const ends: number[] = [];
    for (let end = -1; (end = plaintext.indexOf(LINE_FEED, end + 1)) >= 0;) ends.push(end);
    const numbers = new Float64Array(Math.max(0, ends.length - 1) * NUMBERS);
    const reader = new LineReader(plaintext);
    for (let line = 1; line < ends.length; line++) { // the first has the references
      const at = (line - 1) * NUMBERS;
      reader.begin(ends[line - 1] + 1, ends[line]);
      if (!readStamp(reader, numbers, at)) numbers[at + PLACE] = NOT_SAID;
    }
    return new EntryStamps(numbers);
  }

  /** @throws {RangeError} if {@link bytes} cannot have given that */
  static decode(bytes: Uint8Array): EntryStamps {
    return new EntryStamps(new Float64Array(bytes.slice().buffer));
  }

  /** In this machine's order of bytes. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#numbers.buffer);
  }

  /** Copies the numbers of an entry to a place among those of others. */
  copyTo(others: Float64Array, { at, number }: { at: number; number: number }): void {
    for (let i = 0; i < NUMBERS; i++) others[at + i] = this.#numbers[number * NUMBERS + i];
  }

  /** Number of the entries. */
  get count(): number {
    return this.#numbers.length / NUMBERS;
  }

  /** Whether all that numbers tell of an entry, which is all but its path, is so; undefined if its line has to tell. */
  fits(at: number, entry: BareEntry): boolean | undefined {
    const numbers = this.#numbers;
    const i = at * NUMBERS;
    if (numbers[i + PLACE] === NOT_SAID) return undefined;
    return TYPES[numbers[i]] === entry.type && numbers[i + 1] === entry.size &&
      numbers[i + 2] === entry.mode && numbers[i + 3] === entry.uid &&
      numbers[i + 4] === entry.gid && numbers[i + 5] === entry.mtimeMs &&
      numbers[i + 6] === entry.ctimeMs && numbers[i + 7] === entry.inode &&
      numbers[i + 8] === entry.nlink && entry.target === undefined;
  }

  /** What numbers and a line tell of the entry with that number; undefined if only the line can. */
  known(line: string, number: number): KnownLine | undefined {
    const numbers = this.#numbers;
    const i = number * NUMBERS;
    if (numbers[i + PLACE] === NOT_SAID) return undefined;
    return {
      line,
      path: readPath(line),
      type: TYPES[numbers[i]],
      size: numbers[i + 1],
      extent: this.extent(number),
      stamps: this,
      number,
    };
  }

  /** Where the contents of an entry are of which {@link fits} can tell; undefined if it has none. */
  extent(at: number): OneExtent | undefined {
    const i = at * NUMBERS;
    const place = this.#numbers[i + PLACE];
    if (place === NO_CONTENTS) return undefined;
    return { place, offset: this.#numbers[i + PLACE + 1], length: this.#numbers[i + 1] };
  }
}

/** Collects the numbers of a segment while it is being made: reading them out of its text takes several times longer. */
export class StampList {
  #numbers = new Float64Array(STARTING_COUNT * NUMBERS);
  #count = 0;

  /** @param table has the entry's references */
  add(entry: Entry, table: ReferenceTable): void {
    const at = this.#next();
    const numbers = this.#numbers;
    const contents = contentsOf(entry);
    if (contents === undefined) {
      numbers[at + PLACE] = NOT_SAID;
      return;
    }
    const { reference, offset } = contents;
    numbers[at] = TYPES.indexOf(entry.type);
    numbers[at + 1] = entry.size;
    numbers[at + 2] = entry.mode;
    numbers[at + 3] = entry.uid;
    numbers[at + 4] = entry.gid;
    numbers[at + 5] = entry.mtimeMs;
    numbers[at + 6] = entry.ctimeMs;
    numbers[at + 7] = entry.inode;
    numbers[at + 8] = entry.nlink;
    numbers[at + PLACE] = reference === undefined ? NO_CONTENTS : table.add(reference);
    numbers[at + PLACE + 1] = offset;
  }

  /** Takes over what is said of a line, with another index for its reference if it has one. */
  copy({ stamps, number, extent }: KnownLine, place: number): void {
    const at = this.#next();
    const numbers = this.#numbers;
    if (stamps === undefined) {
      numbers[at + PLACE] = NOT_SAID;
      return;
    }
    stamps.copyTo(numbers, { at, number });
    if (extent !== undefined) numbers[at + PLACE] = place;
  }

  /** The stamps; then the list is empty again. */
  take(): EntryStamps {
    const numbers = this.#numbers.slice(0, this.#count * NUMBERS);
    this.#count = 0;
    return new EntryStamps(numbers);
  }

  /** Where the numbers of the next entry go. */
  #next(): number {
    const at = this.#count++ * NUMBERS;
    if (at === this.#numbers.length) {
      const longer = new Float64Array(2 * at);
      longer.set(this.#numbers);
      this.#numbers = longer;
    }
    return at;
  }
}

/** Where the contents of an entry are; without a reference if there are none; undefined if that is more than numbers tell. */
function contentsOf(entry: Entry): { reference?: Reference; offset: number } | undefined {
  const { type, size, extents = NO_EXTENTS, lists } = entry;
  if (type === "symlink" || lists !== undefined) return undefined;
  if (size === 0) return NOTHING;
  const [extent] = extents;
  const isSaid = extents.length === 1 && extent.reference !== undefined &&
    extent.offset + size <= VAULT.plaintextBytesMax;
  return isSaid ? extent : undefined;
}

/** Goes through a line from left to right. */
class LineReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  begin(start: number, end: number): void {
    this.#at = start;
    this.#end = end;
  }

  /** Whether that is all that is left. */
  isLast(byte: number): boolean {
    return this.#at === this.#end - 1 && this.#bytes[this.#at] === byte;
  }

  /** Goes past these bytes, if they are what comes next. */
  skip(expected: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    const { length } = expected;
    if (this.#end - at < length) return false;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== expected[i]) return false;
    this.#at = at + length;
    return true;
  }

  /** Goes to the quotation mark that ends a text. */
  skipText(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < this.#end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    this.#at = at;
  }

  /** Goes past a whole number as JSON has it; NaN if that is not what comes next. */
  number(): number {
    const bytes = this.#bytes;
    const isNegative = bytes[this.#at] === MINUS;
    const start = isNegative ? this.#at + 1 : this.#at;
    let at = start;
    let value = 0;
    for (let byte; at < this.#end && (byte = bytes[at]) >= ZERO && byte <= NINE; at++) {
      value = value * 10 + (byte - ZERO);
    }
    const isCanonical = at > start && Number.isSafeInteger(value) &&
      (bytes[start] !== ZERO || at === start + 1 && !isNegative);
    this.#at = at;
    return isCanonical ? (isNegative ? -value : value) : NaN;
  }
}

/** Writes the numbers of a line at that place. @returns false if it is not such a line */
function readStamp(reader: LineReader, numbers: Float64Array, at: number): boolean {
  if (!reader.skip(PATH)) return false;
  reader.skipText();
  const isFile = reader.skip(FILE);
  if (!isFile && !reader.skip(FOLDER)) return false;
  numbers[at] = isFile ? 0 : 1;
  for (let i = 0; i < FIELDS.length; i++) {
    if (!reader.skip(FIELDS[i])) return false;
    const value = reader.number();
    if (Number.isNaN(value)) return false;
    numbers[at + 1 + i] = value;
  }
  const size = numbers[at + 1];
  if (reader.isLast(BRACE)) {
    numbers[at + PLACE] = NO_CONTENTS;
    return size === 0;
  }
  return isFile && size > 0 && readExtent(reader, numbers, at);
}

function readExtent(reader: LineReader, numbers: Float64Array, at: number): boolean {
  const size = numbers[at + 1];
  if (!reader.skip(EXTENT)) return false;
  const place = reader.number();
  if (!reader.skip(COMMA)) return false;
  const offset = reader.number();
  if (!reader.skip(COMMA) || reader.number() !== size) return false;
  if (!reader.skip(EXTENT_END) || !reader.isLast(BRACE)) return false;
  numbers[at + PLACE] = place;
  numbers[at + PLACE + 1] = offset;
  return place >= 0 && offset >= 0 && offset + size <= VAULT.plaintextBytesMax;
}

function toBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
