/**
 * Finds segments of the last snapshot in which nothing has changed: the walk comes by all their entries, and no others,
 * and each is as it was. They are taken over whole. In an unchanged tree these are nearly all, and to make them again
 * would take most of the time.
 */
import type { Entry } from "../vault/entry.ts";
import type { KeptCursor, WholeSegment } from "./kept_cursor.ts";
import { isFresh } from "./file_state.ts";
import type { Scanned } from "./scan.ts";

/** What became of entries of the walk: a segment is what it was, or they are to be looked at one by one. */
export type Decided = { segment: WholeSegment } | { scanned: Scanned[] };

/** Nothing is known yet. */
export const HELD: Decided = { scanned: [] };

export class UnchangedSegments {
  readonly #kept: KeptCursor;
  /** The segment that the walk is in, as long as all is as it was. */
  #segment: WholeSegment | undefined;
  /** Its entries so far. */
  #held: Scanned[] = [];

  constructor(kept: KeptCursor) {
    this.#kept = kept;
  }

  /** Whether the walk is in a segment of which nothing is known to have changed. */
  get isOpen(): boolean {
    return this.#segment !== undefined;
  }

  /** Takes what the walk has found next; the cursor covers its path if no segment is open. Returns what is known now. */
  take(scanned: Scanned): Decided {
    const segment = this.#segment ??= this.#kept.wholeSegmentFrom(scanned.entry.path);
    if (segment === undefined) return { scanned: [scanned] };
    const before = segment.entries[this.#held.length];
    this.#held.push(scanned);
    if (!this.#isUnchanged(scanned.entry, before)) return this.end();
    if (this.#held.length < segment.entries.length) return HELD;
    this.#segment = undefined;
    this.#held = [];
    return { segment };
  }

  /** What is held. Nothing comes behind it, or nothing that fits. */
  end(): Decided {
    const scanned = this.#held;
    this.#segment = undefined;
    this.#held = [];
    return { scanned };
  }

  #isUnchanged(entry: Entry, before: Entry): boolean {
    if (!isSameEntry(entry, before)) return false;
    if (entry.type !== "file") return true;
    return !isFresh(before.mtimeMs, this.#kept.startMs) && !this.#kept.isSparse(before);
  }
}

/** All but the contents. */
function isSameEntry(a: Entry, b: Entry): boolean {
  return a.path === b.path && a.mtimeMs === b.mtimeMs && a.size === b.size &&
    a.ctimeMs === b.ctimeMs && a.inode === b.inode && a.type === b.type && a.mode === b.mode &&
    a.uid === b.uid && a.gid === b.gid && a.nlink === b.nlink && a.target === b.target;
}
