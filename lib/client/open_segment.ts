/**
 * A segment of the last snapshot while the walk is in it. Its entries stay lines of text: one is taken apart only where
 * something has changed.
 */
import { DamagedError } from "../errors.ts";
import { RecordType } from "../record.ts";
import { decodeEntry, type Entry } from "../vault/entry.ts";
import {
  encodeLineStart,
  endsLine,
  isLineOf,
  type OneExtent,
  readLine,
  readOneExtent,
} from "../vault/entry_line.ts";
import type { KnownLine } from "../vault/entry_stamps.ts";
import type { Reference } from "../vault/session.ts";
import { decodeText } from "../vault/text_record.ts";
import type { KeptSegment } from "./kept_file.ts";

/** Where the contents of a file are; neither for what has none. */
export type Contents = Pick<Entry, "extents" | "lists">;

const NO_CONTENTS: Contents = {};

export class OpenSegment {
  readonly kept: KeptSegment;
  /** Which one of the snapshot it is, from 0 on. */
  readonly number: number;
  /** Whether it may stand in the new tree as it is. */
  readonly canBeKept: boolean;
  /** Of the entries, in order; at least one. */
  readonly lines: string[];
  readonly references: Reference[];
  readonly firstPath: string;
  readonly lastPath: string;
  /** What was taken apart last. */
  #decoded: { at: number; entry: Entry } | undefined;

  /** @throws {DamagedError} if it is no segment */
  constructor(
    kept: KeptSegment,
    { number, canBeKept }: { number: number; canBeKept: boolean },
  ) {
    const options = { type: RecordType.SEGMENT, headFields: [] };
    const { references, lines } = decodeText(kept.content, options);
    if (lines.length === 0) throw new DamagedError("Cannot use segment: it has no entries");
    if (kept.stamps !== undefined && kept.stamps.count !== lines.length) {
      throw new DamagedError("Cannot use segment: it has stamps of others");
    }
    this.kept = kept;
    this.number = number;
    this.canBeKept = canBeKept;
    this.lines = lines;
    this.references = references;
    this.lastPath = this.entry(lines.length - 1).path;
    this.firstPath = this.entry(0).path;
  }

  /** @throws {DamagedError} if it is not one */
  entry(at: number): Entry {
    if (this.#decoded?.at !== at) {
      this.#decoded = { at, entry: decodeEntry(this.lines[at], this.references) };
    }
    return this.#decoded.entry;
  }

  /**
   * Contents of the entry with this number if all else in it is as in this one, which has none. Undefined if not.
   *
   * @throws {DamagedError} if it is no entry
   */
  contentsIfSame(at: number, entry: Entry): Contents | undefined {
    const line = this.lines[at];
    const { stamps } = this.kept;
    const fits = stamps?.fits(at, entry);
    if (fits === false) return undefined;
    if (stamps !== undefined && fits && isLineOf(line, entry.path)) {
      const extent = stamps.extent(at);
      return extent === undefined ? NO_CONTENTS : this.#inOneRecord(extent);
    }
    const start = encodeLineStart(entry);
    if (!line.startsWith(start)) return undefined;
    const end = start.length;
    if (endsLine(line, end)) return entry.size === 0 ? NO_CONTENTS : undefined;
    const extent = readOneExtent(line, end);
    if (extent === undefined) return line.startsWith(',"', end) ? this.entry(at) : undefined;
    if (extent.length !== entry.size || entry.type !== "file") return undefined;
    return this.#inOneRecord(extent);
  }

  /** The lines from one to before another: of entries that {@link contentsIfSame} has told contents of. */
  *known(from: number, to: number): Generator<KnownLine> {
    const { stamps } = this.kept;
    for (let number = from; number < to; number++) {
      const line = this.lines[number];
      yield stamps?.known(line, number) ?? { ...readLine(line), stamps: undefined, number };
    }
  }

  #inOneRecord({ place, offset, length }: OneExtent): Contents | undefined {
    const reference = this.references[place];
    return reference && { extents: [{ reference, offset, length }] };
  }
}
