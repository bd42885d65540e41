/**
 * Reads the entries of a snapshot (docs/format.md, "Records of text"): in order, from any path on, or one by
 * its path. Holds one record for each level.
 */
import { DamagedError } from "../errors.ts";
import { RecordType } from "../record.ts";
import { decodeEntry, decodeExtentLine, type Entry, type Extent } from "./entry.ts";
import { decodeIndex, findItem } from "./index_record.ts";
import { comparePaths, isWithin } from "./path_order.ts";
import type { RecordContent } from "./seal.ts";
import type { Reference } from "./session.ts";
import { decodeText } from "./text_record.ts";
import type { Tree } from "./tree_builder.ts";

/** Gets the record of a reference and opens it. */
export type Load = (reference: Reference) => Promise<RecordContent>;

/** Which entries are wanted. */
export interface WalkOptions {
  load: Load;
  /** Only this path and what is in it. */
  within?: string;
}

/** The entries of a segment, in order. */
export function decodeSegment(content: RecordContent): Entry[] {
  const options = { type: RecordType.SEGMENT, headFields: [] };
  const { references, lines } = decodeText(content, options);
  const entries = lines.map((line) => decodeEntry(line, references));
  for (let i = 1; i < entries.length; i++) {
    if (comparePaths(entries[i - 1].path, entries[i].path) >= 0) throw damaged("not in order");
  }
  if (entries.length === 0) throw damaged("a segment without entries");
  return entries;
}

/**
 * All entries of a snapshot in path order, or those of one folder.
 *
 * @throws {DamagedError} if a record is not what it must be
 */
export async function* walkEntries(
  tree: Pick<Tree, "top" | "level">,
  { load, within = "/" }: WalkOptions,
): AsyncGenerator<Entry> {
  for await (const segment of walkSegments(tree, { load, within })) {
    for (const entry of segment) {
      if (isWithin(entry.path, within)) yield entry;
    }
  }
}

/** The same, a segment at a time; the first and the last may have entries that are not wanted. */
export async function* walkSegments(
  tree: Pick<Tree, "top" | "level">,
  { load, within = "/" }: WalkOptions,
): AsyncGenerator<Entry[]> {
  let last: string | undefined;
  for await (const segment of walkNode(tree.top, tree.level, { load, within })) {
    if (last !== undefined && comparePaths(last, segment[0].path) >= 0) {
      throw damaged("not in order");
    }
    last = segment.at(-1)!.path;
    yield segment;
  }
}

/** The entry of a path, if there is one. */
export async function findEntry(
  tree: Pick<Tree, "top" | "level">,
  { load, path }: { load: Load; path: string },
): Promise<Entry | undefined> {
  let { top: reference, level } = tree;
  for (; level > 0; level--) {
    const items = decodeIndex(await load(reference), level);
    reference = items[findItem(items, path)].reference;
  }
  return decodeSegment(await load(reference)).find((entry) => entry.path === path);
}

/** The extents of a file in order, from its entry or its lists. */
export async function* readExtents(entry: Entry, load: Load): AsyncGenerator<Extent> {
  yield* entry.extents ?? [];
  for (const { reference, length } of entry.lists ?? []) {
    const extents = decodeList(await load(reference));
    const total = extents.reduce((sum, extent) => sum + extent.length, 0);
    if (total !== length) throw damaged("a list of another length");
    yield* extents;
  }
}

/** The extents of a list record. */
export function decodeList(content: RecordContent): Extent[] {
  const { references, lines } = decodeText(content, { type: RecordType.LIST, headFields: [] });
  return lines.map((line) => decodeExtentLine(line, references));
}

async function* walkNode(
  reference: Reference,
  level: number,
  { load, within }: Required<WalkOptions>,
): AsyncGenerator<Entry[]> {
  const content = await load(reference);
  if (level === 0) {
    yield decodeSegment(content);
    return;
  }
  const items = decodeIndex(content, level);
  for (let i = findItem(items, within); i < items.length; i++) {
    const { path, totals, reference } = items[i];
    // What comes behind a folder's contents is no longer in it.
    if (comparePaths(path, within) > 0 && !isWithin(path, within)) return;
    let isFirst = true;
    for await (const segment of walkNode(reference, level - 1, { load, within })) {
      if (isFirst && level === 1 && segment.length !== totals.entries) {
        throw damaged("wrong totals");
      }
      if (isFirst && level === 1 && segment[0].path !== path) throw damaged("wrong first path");
      isFirst = false;
      yield segment;
    }
  }
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot read snapshot: ${state}`);
}
