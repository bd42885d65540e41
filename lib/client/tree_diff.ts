/**
 * Compares the entries of two snapshots in one pass. Records that both have are passed unopened: so the time that it
 * takes grows with what is different.
 */
import { equalBytes } from "../bytes.ts";
import type { Entry, Extent, ExtentList } from "../vault/entry.ts";
import { comparePaths } from "../vault/path_order.ts";
import type { Next, TreeCursor } from "./tree_cursor.ts";

/** `+` only in the second, `-` only in the first, `M` contents, `T` type, `U` owner, mode or time. */
export interface Difference {
  kind: "+" | "-" | "M" | "T" | "U";
  before?: Entry;
  after?: Entry;
}

/** The differences in path order. */
export async function* diffTrees(a: TreeCursor, b: TreeCursor): AsyncGenerator<Difference> {
  for (;;) {
    const [left, right] = [a.peek(), b.peek()];
    if (left === undefined && right === undefined) return;
    if (isSameNode(left, right)) {
      a.pass();
      b.pass();
    } else if (opensFirst(left, right)) await a.open();
    else if (right?.kind === "node") await b.open();
    else yield* compareNext(a, b);
  }
}

function isSameNode(left: Next | undefined, right: Next | undefined): boolean {
  return left?.kind === "node" && right?.kind === "node" && left.level === right.level &&
    equalBytes(left.reference.id, right.reference.id);
}

/**
 * Whether to open the record on the left rather than that on the right: the higher one, so that the parts of both come
 * to lie side by side; of two of one level the one that begins first.
 */
function opensFirst(left: Next | undefined, right: Next | undefined): boolean {
  if (left?.kind !== "node") return false;
  if (right?.kind !== "node") return true;
  if (left.level !== right.level) return left.level > right.level;
  return comparePaths(left.path, right.path) <= 0;
}

/** Both are entries, or one side is at its end. */
function* compareNext(a: TreeCursor, b: TreeCursor): Generator<Difference> {
  const [left, right] = [entryOf(a.peek()), entryOf(b.peek())];
  const order = left === undefined
    ? 1
    : right === undefined
    ? -1
    : comparePaths(left.path, right.path);
  if (order <= 0) a.pass();
  if (order >= 0) b.pass();
  if (order < 0 && left !== undefined) yield { kind: "-", before: left };
  if (order > 0 && right !== undefined) yield { kind: "+", after: right };
  if (order !== 0 || left === undefined || right === undefined) return;
  const kind = findDifference(left, right);
  if (kind !== undefined) yield { kind, before: left, after: right };
}

function entryOf(next: Next | undefined): Entry | undefined {
  return next?.kind === "entry" ? next.entry : undefined;
}

function findDifference(before: Entry, after: Entry): "M" | "T" | "U" | undefined {
  if (before.type !== after.type) return "T";
  if (before.target !== after.target || !isSameContents(before, after)) return "M";
  const fields = ["mode", "uid", "gid", "mtimeMs"] as const;
  return fields.some((field) => before[field] !== after[field]) ? "U" : undefined;
}

/** The same records in the same places. A file that was laid into another record has the same bytes there. */
function isSameContents(before: Entry, after: Entry): boolean {
  if (before.size !== after.size) return false;
  if (isSameParts(before.extents, after.extents) && isSameParts(before.lists, after.lists)) {
    return true;
  }
  // A small file that has moved with its neighbours: its time tells whether it was written.
  return before.lists === undefined && after.lists === undefined &&
    isSmall(before) && isSmall(after) && before.mtimeMs === after.mtimeMs;
}

function isSmall({ extents = [] }: Entry): boolean {
  return extents.length <= 1;
}

function isSameParts(
  before: (Extent | ExtentList)[] = [],
  after: (Extent | ExtentList)[] = [],
): boolean {
  if (before.length !== after.length) return false;
  return before.every((part, i) => {
    const other = after[i];
    if (part.length !== other.length) return false;
    if (part.reference === undefined || other.reference === undefined) {
      return part.reference === other.reference;
    }
    return equalBytes(part.reference.id, other.reference.id) && offsetOf(part) === offsetOf(other);
  });
}

function offsetOf(part: Extent | ExtentList): number {
  return "offset" in part ? part.offset : 0;
}
