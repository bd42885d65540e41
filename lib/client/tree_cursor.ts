/**
 * Walks the entries of a snapshot and leaves out what need not be read: a whole record whose entries nobody asks for is
 * passed without being loaded (docs/format.md, "Segments"). Holds one record for each level.
 */
import { DamagedError } from "../errors.ts";
import type { Entry } from "../vault/entry.ts";
import { decodeIndex, findItem, type IndexItem, type Totals } from "../vault/index_record.ts";
import { comparePaths, isWithin } from "../vault/path_order.ts";
import type { Reference } from "../vault/session.ts";
import type { Tree } from "../vault/tree_builder.ts";
import { decodeSegment, type Load } from "../vault/tree_reader.ts";

/** What comes next: an entry, or a record that has not been opened. */
export type Next =
  | { kind: "entry"; path: string; entry: Entry }
  | { kind: "node"; path: string; reference: Reference; level: number; totals: Totals };

interface Level {
  level: number;
  /** The top has no path: nothing says with which it begins. */
  items: Pick<IndexItem, "reference" | "path" | "totals">[];
  at: number;
}

export class TreeCursor {
  readonly #load: Load;
  readonly #levels: Level[];
  #entries: Entry[] = [];
  #at = 0;
  #lastPath: string | undefined;

  constructor(tree: Pick<Tree, "top" | "level" | "totals">, load: Load) {
    this.#load = load;
    const { top: reference, totals } = tree;
    this.#levels = [{ level: tree.level, items: [{ reference, path: "", totals }], at: 0 }];
  }

  /** What comes next; undefined at the end. */
  peek(): Next | undefined {
    const entry = this.#entries[this.#at];
    if (entry !== undefined) return { kind: "entry", path: entry.path, entry };
    const level = this.#levels.at(-1);
    if (level === undefined) return undefined;
    const { reference, path, totals } = level.items[level.at];
    return { kind: "node", path, reference, level: level.level, totals };
  }

  /** Passes what comes next, with all that is in it. */
  pass(): void {
    if (this.#at < this.#entries.length) this.#at++;
    else this.#passItem();
  }

  /** Opens the record that comes next. @throws {DamagedError} if it is not what the one above says */
  async open(): Promise<void> {
    const level = this.#levels.at(-1);
    if (level === undefined || this.#at < this.#entries.length) throw new RangeError("No record");
    const item = level.items[level.at];
    const content = await this.#load(item.reference);
    if (level.level === 0) {
      const entries = decodeSegment(content);
      this.#check(entries[0].path, item.path);
      if (entries.length !== item.totals.entries) throw damaged("wrong totals");
      this.#passItem();
      [this.#entries, this.#at] = [entries, 0];
      this.#lastPath = entries.at(-1)!.path;
      return;
    }
    const items = decodeIndex(content, level.level);
    this.#check(items[0].path, item.path);
    if (!isTotal(items, item.totals)) throw damaged("wrong totals");
    this.#passItem();
    this.#levels.push({ level: level.level - 1, items, at: 0 });
  }

  /** The next entry, which is passed. */
  async next(): Promise<Entry | undefined> {
    for (;;) {
      const next = this.peek();
      if (next === undefined) return undefined;
      if (next.kind === "entry") {
        this.pass();
        return next.entry;
      }
      await this.open();
    }
  }

  /** Goes to the first entry at or behind a path. */
  async seek(path: string): Promise<void> {
    for (;;) {
      const next = this.peek();
      if (next === undefined) return;
      if (next.kind === "entry") {
        if (comparePaths(next.path, path) >= 0) return;
        this.pass();
        continue;
      }
      const level = this.#levels.at(-1)!;
      level.at = Math.max(level.at, findItem(level.items as IndexItem[], path));
      const following = this.following();
      if (following !== undefined && comparePaths(following, path) <= 0) this.#passItem();
      else if (comparePaths(level.items[level.at].path, path) >= 0) return;
      else await this.open();
    }
  }

  /** Passes all that is in a folder, and the folder itself. */
  async passFolder(folder: string): Promise<void> {
    for (;;) {
      const next = this.peek();
      if (next === undefined) return;
      if (next.kind === "entry") {
        if (!isWithin(next.path, folder)) return;
        this.pass();
        continue;
      }
      const following = this.following();
      if (following !== undefined && isWithin(following, folder)) this.#passItem();
      else if (!isWithin(next.path, folder)) return;
      else await this.open();
    }
  }

  /** The path with which the record behind the next one begins. */
  following(): string | undefined {
    for (let i = this.#levels.length - 1; i >= 0; i--) {
      const { items, at } = this.#levels[i];
      // A level above points behind what has been opened of it.
      const item = items[i === this.#levels.length - 1 ? at + 1 : at];
      if (item !== undefined) return item.path;
    }
    return undefined;
  }

  #passItem(): void {
    const level = this.#levels.at(-1);
    if (level === undefined) return;
    level.at++;
    this.#prune();
  }

  /** Takes away levels of which nothing is left. */
  #prune(): void {
    while (this.#levels.length > 0) {
      const { items, at } = this.#levels.at(-1)!;
      if (at < items.length) return;
      this.#levels.pop();
    }
  }

  #check(path: string, expected: string): void {
    if (expected !== "" && path !== expected) throw damaged("wrong first path");
    if (this.#lastPath !== undefined && comparePaths(this.#lastPath, path) >= 0) {
      throw damaged("not in order");
    }
  }
}

function isTotal(items: IndexItem[], totals: Totals): boolean {
  let [entries, files, bytes] = [0, 0, 0];
  for (const { totals } of items) {
    entries += totals.entries;
    files += totals.files;
    bytes += totals.bytes;
  }
  return entries === totals.entries && files === totals.files && bytes === totals.bytes;
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot read snapshot: ${state}`);
}
