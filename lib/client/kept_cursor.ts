/**
 * Goes through the kept entries in step with the walk. Nothing in them is used again unless the server has said in this
 * session that it is there: the whole snapshot with one question; failing that, segment by segment; failing that, record
 * by record, so that only files are read again of which something is missing.
 */
import { DamagedError } from "../errors.ts";
import { BACKUP, WIRE } from "../limits.ts";
import type { Entry } from "../vault/entry.ts";
import { comparePaths } from "../vault/path_order.ts";
import type { Reference } from "../vault/session.ts";
import { isFresh } from "./file_state.ts";
import type { KeptFile, KeptSegment } from "./kept_file.ts";
import { type Contents, OpenSegment } from "./open_segment.ts";

/** Asks for each id whether it, and everything below it, is at the server. */
export type Has = (ids: Uint8Array[]) => Promise<boolean[]>;

/** A reference from the last snapshot to a record that was emitted again. */
export interface KnownRecord {
  reference: Reference;
  /** The server has it and all below it. */
  isThere: boolean;
  /** Of a segment: which one of the last snapshot it is. */
  number?: number;
}

export class KeptCursor {
  readonly #kept: KeptFile;
  readonly #has: Has;
  readonly #onDamage: () => void;
  readonly #segments: Generator<KeptSegment>;
  readonly #areThere: boolean[] | "all";
  readonly #known = new Map<string, KnownRecord>();
  readonly #indexes = new Map<string, KnownRecord>();
  readonly #sparse: Set<string>;
  #number = 0;
  /** The present segment, and the number of the entry in it that comes next. */
  #segment: OpenSegment | undefined;
  #at = 0;
  /** Ids that are missing below the present segment, hexadecimal. */
  #missing = new Set<string>();
  #isDone = false;

  private constructor(
    kept: KeptFile,
    { has, onDamage, areThere }: { has: Has; onDamage: () => void; areThere: boolean[] | "all" },
  ) {
    this.#kept = kept;
    this.#has = has;
    this.#onDamage = onDamage;
    this.#areThere = areThere;
    this.#segments = kept.segments();
    this.#sparse = new Set(kept.head.sparse.map((id) => id.toHex()));
    for (const reference of kept.head.indexes) {
      this.#indexes.set(reference.id.toHex(), { reference, isThere: areThere === "all" });
    }
  }

  /** @param onDamage told when the kept file turns out to be damaged; from there on nothing is known */
  static async open(
    kept: KeptFile,
    { has, onDamage }: { has: Has; onDamage: () => void },
  ): Promise<KeptCursor> {
    const [isWhole] = await has([kept.head.root]);
    const areThere = isWhole ? "all" : await askSegments(kept, has);
    return new KeptCursor(kept, { has, onDamage, areThere });
  }

  /** Whether the server has all of the last snapshot. */
  get isAllThere(): boolean {
    return this.#areThere === "all";
  }

  get startMs(): number {
    return this.#kept.head.startMs;
  }

  /** The present segment. */
  get segment(): OpenSegment | undefined {
    return this.#segment;
  }

  /** Number of the entry in it that comes next. */
  get at(): number {
    return this.#at;
  }

  /** Whether the present segment is the one that the path may be in. */
  covers(path: string): boolean {
    if (this.#isDone) return true;
    return this.#segment !== undefined && comparePaths(path, this.#segment.lastPath) <= 0;
  }

  /** Goes on to the segment that the path may be in; then {@link find} can tell. */
  async cover(path: string): Promise<void> {
    while (!this.covers(path)) await this.#advance();
  }

  async #advance(): Promise<void> {
    const number = this.#number++;
    const isThere = this.#areThere === "all" || this.#areThere[number] === true;
    this.#missing = new Set();
    this.#at = 0;
    // The last one ends where the tree ended, and perhaps not where more entries would have it end.
    const isLast = this.#number === this.#kept.segmentCount;
    this.#segment = this.#next({ number, canBeKept: isThere && !isLast });
    if (this.#segment === undefined) {
      this.#isDone = true;
      return;
    }
    const { reference, content } = this.#segment.kept;
    this.#remember({ reference, isThere, number });
    if (isThere || content.links.length === 0) return;
    const present = await this.#has(content.links);
    for (const [index, link] of content.links.entries()) {
      if (!present[index]) this.#missing.add(link.toHex());
    }
  }

  /**
   * Goes past the next kept entry if it is this one, as it was, with contents that are not to be read again.
   *
   * @returns its contents
   */
  passUnchanged(entry: Entry): Contents | undefined {
    const segment = this.#segment;
    if (segment === undefined || this.#at === segment.lines.length) return undefined;
    let contents: Contents | undefined;
    try {
      contents = segment.contentsIfSame(this.#at, entry);
    } catch (error) {
      this.#endAtDamage(error);
    }
    if (contents === undefined || !this.#isWhole(contents) || this.isSparse(contents)) {
      return undefined;
    }
    if (entry.type === "file" && isFresh(entry.mtimeMs, this.startMs)) return undefined;
    this.#at++;
    return contents;
  }

  /**
   * The kept entry of a path. Paths are asked for in order.
   *
   * @returns undefined as well if the server lacks something of its contents
   */
  find(path: string): Entry | undefined {
    while (this.#segment !== undefined && this.#at < this.#segment.lines.length) {
      const entry = this.#guard(() => this.#segment?.entry(this.#at));
      if (entry === undefined) return undefined;
      const order = comparePaths(entry.path, path);
      if (order > 0) return undefined;
      this.#at++;
      if (order === 0) return this.#isWhole(entry) ? entry : undefined;
    }
    return undefined;
  }

  /** Whether too little of the record that has the file is in use: the file is to be sent again. */
  isSparse({ extents }: Contents): boolean {
    const reference = extents?.[0]?.reference;
    return this.#sparse.size > 0 && reference !== undefined &&
      this.#sparse.has(reference.id.toHex());
  }

  /** What is known of a record of the tree that has just been made again. */
  known(id: Uint8Array): KnownRecord | undefined {
    const name = id.toHex();
    return this.#known.get(name) ?? this.#indexes.get(name);
  }

  #next(options: { number: number; canBeKept: boolean }): OpenSegment | undefined {
    return this.#guard(() => {
      const segment: KeptSegment | undefined = this.#segments.next().value;
      return segment && new OpenSegment(segment, options);
    });
  }

  /** Where something is damaged, nothing more is known. */
  #guard<T>(look: () => T | undefined): T | undefined {
    try {
      return look();
    } catch (error) {
      this.#endAtDamage(error);
      return undefined;
    }
  }

  #endAtDamage(error: unknown): void {
    if (!(error instanceof DamagedError)) throw error;
    this.#onDamage();
    this.#isDone = true;
    this.#segment = undefined;
  }

  #isWhole({ extents = [], lists = [] }: Contents): boolean {
    if (this.#missing.size === 0) return true;
    return [...extents, ...lists].every(({ reference }) =>
      reference === undefined ||
      !(this.#missing.has(reference.id.toHex()) || this.#missing.has(reference.session.toHex()))
    );
  }

  /** The walk is ahead of what is emitted by a bounded number of entries. */
  #remember(known: KnownRecord): void {
    this.#known.set(known.reference.id.toHex(), known);
    if (this.#known.size <= BACKUP.knownSegmentsMax) return;
    this.#known.delete(this.#known.keys().next().value!);
  }
}

/** Asks for all segments. One answer is a bit for each; what comes behind a damaged block is not asked. */
async function askSegments(kept: KeptFile, has: Has): Promise<boolean[]> {
  const areThere: boolean[] = [];
  let ids: Uint8Array[] = [];
  const ask = async () => {
    if (ids.length > 0) areThere.push(...await has(ids));
    ids = [];
  };
  try {
    for (const { reference } of kept.segments()) {
      ids.push(reference.id.slice());
      if (ids.length === WIRE.idsPerRequestMax) await ask();
    }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error; // told when the walk comes there
  }
  await ask();
  return areThere;
}
