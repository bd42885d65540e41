/**
 * Draws files of a snapshot by chance, every one as likely as every other. The index records say how many files are
 * below each record, so that only those are opened that hold a drawn one; what is kept is as much as is drawn.
 */
import { DamagedError, describeError } from "../errors.ts";
import type { Entry } from "../vault/entry.ts";
import type { Totals } from "../vault/index_record.ts";
import type { Root } from "../vault/root.ts";
import type { Load } from "../vault/tree_reader.ts";
import { TreeCursor } from "./tree_cursor.ts";

/** Gives a whole number from 0 to below this one, each as likely as the others. */
export type Draw = (below: number) => number;

/** A drawn file, and what has to be the same on a disk for it to be unchanged there. */
export type SampledFile = Pick<Entry, "path" | "size" | "mtimeMs" | "ctimeMs" | "inode">;

export interface SampleOptions {
  load: Load;
  /** How many files. All, if the snapshot has no more. */
  count: number;
  draw: Draw;
  /** Told of a record that is lost: from which path on, and how many drawn files are lost with it. */
  onLost: (path: string, lost: { files: number; message: string }) => void;
}

/** The drawn files, in the order of the snapshot. */
export async function sampleFiles(
  root: Pick<Root, "top" | "level" | "totals">,
  { load, count, draw, onLost }: SampleOptions,
): Promise<SampledFile[]> {
  const wanted = new Wanted(drawNumbers(root.totals.files, { count, draw }));
  const cursor = new TreeCursor(root, load);
  const sampled: SampledFile[] = [];
  for (let next = cursor.peek(); next !== undefined && !wanted.isEmpty; next = cursor.peek()) {
    if (next.kind === "entry") {
      const { path, type, size, mtimeMs, ctimeMs, inode } = next.entry;
      if (type === "file" && wanted.take(1) > 0) {
        sampled.push({ path, size, mtimeMs, ctimeMs, inode });
      }
      cursor.pass();
    } else if (wanted.has(next.totals.files)) {
      await openNode(cursor, { totals: next.totals, path: next.path, wanted, onLost });
    } else {
      wanted.take(next.totals.files);
      cursor.pass();
    }
  }
  const files = wanted.left;
  if (files > 0) onLost("/", { files, message: "the snapshot has fewer files than it says" });
  return sampled;
}

async function openNode(
  cursor: TreeCursor,
  { totals, path, wanted, onLost }: {
    totals: Totals;
    path: string;
    wanted: Wanted;
    onLost: SampleOptions["onLost"];
  },
): Promise<void> {
  try {
    await cursor.open();
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    onLost(path || "/", { files: wanted.take(totals.files), message: describeError(error) });
    cursor.pass();
  }
}

/** Different numbers from 0 to below `total`, in order: every set of so many is as likely as every other (Floyd). */
function drawNumbers(
  total: number,
  { count, draw }: Pick<SampleOptions, "count" | "draw">,
): number[] {
  const drawn = new Set<number>();
  for (let last = Math.max(total - count, 0); last < total; last++) {
    const number = draw(last + 1);
    drawn.add(drawn.has(number) ? last : number);
  }
  return [...drawn].sort((a, b) => a - b);
}

/** Numbers of the files that are wanted, and how far the walk has come. */
class Wanted {
  readonly #numbers: number[];
  #at = 0;
  #passed = 0;

  /** @param numbers in order */
  constructor(numbers: number[]) {
    this.#numbers = numbers;
  }

  get left(): number {
    return this.#numbers.length - this.#at;
  }

  get isEmpty(): boolean {
    return this.left === 0;
  }

  /** Whether one is wanted among the next files. */
  has(files: number): boolean {
    return this.#numbers[this.#at] < this.#passed + files;
  }

  /** Passes files. Returns how many of them are wanted. */
  take(files: number): number {
    this.#passed += files;
    const before = this.#at;
    while (this.#numbers[this.#at] < this.#passed) this.#at++;
    return this.#at - before;
  }
}

/** By the system's random numbers. */
export function drawRandom(below: number): number {
  const range = 2 ** 53;
  const [low, high] = [new Uint32Array(1), new Uint32Array(1)];
  for (;;) {
    crypto.getRandomValues(low);
    crypto.getRandomValues(high);
    const number = (high[0] & 0x1fffff) * 2 ** 32 + low[0];
    if (number < range - range % below) return number % below; // or small numbers came more often
  }
}
