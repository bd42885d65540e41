/**
 * Entries of a snapshot (docs/format.md, "Entries"): one file, folder or symbolic link, and where
 * the contents of a file are. One line of JSON each.
 */
import { DamagedError } from "../errors.ts";
import { VAULT } from "../limits.ts";
import { type BareEntry, encodeLineStart } from "./entry_line.ts";
import { findPathFault } from "./path_order.ts";
import type { ReferenceTable } from "./reference_table.ts";
import type { Reference } from "./session.ts";
import { parseJson, parseObject } from "./text_record.ts";

/** Some bytes of a file: part of a data record, or a hole. */
export interface Extent {
  /** Data record; not there for a hole, which is all zeros. */
  reference?: Reference;
  /** Where in the record's plaintext, in bytes. 0 for a hole. */
  offset: number;
  /** Bytes. */
  length: number;
}

/** Some bytes of a very large file: those of all extents of a list record. */
export interface ExtentList {
  reference: Reference;
  length: number;
}

export interface Entry extends BareEntry {
  /** Contents of a file, in order; at most 1000. */
  extents?: Extent[];
  /** In place of extents, when there are more. */
  lists?: ExtentList[];
}

const REQUIRED = ["path", "type", "size", "mode", "uid", "gid", "mtime", "ctime", "ino", "nlink"];
const OPTIONAL = ["target", "extents", "lists"];
const MODE_MAX = 0o7777;
const NO_PARTS: { length: number }[] = [];

/**
 * An entry's line. Its references go into the table.
 *
 * @throws {RangeError} if it is an entry that {@link decodeEntry} would not take
 */
export function encodeEntry(entry: Entry, table: ReferenceTable): string {
  const fault = findFault(entry);
  if (fault !== undefined) throw new RangeError(`Cannot encode entry: ${fault}`);
  let line = encodeLineStart(entry);
  if (entry.extents !== undefined && entry.extents.length > 0) {
    let extents = "";
    for (const extent of entry.extents) {
      extents += (extents === "" ? "" : ",") + encodeExtent(extent, table);
    }
    line += `,"extents":[${extents}]`;
  }
  if (entry.lists !== undefined) {
    const lists = entry.lists.map(({ reference, length }) => [table.add(reference), length]);
    line += `,"lists":${JSON.stringify(lists)}`;
  }
  return line + "}";
}

/** @throws {DamagedError} if the line is not an entry, or one that a restore must not trust */
export function decodeEntry(line: string, references: Reference[]): Entry {
  const fields = parseObject(line, REQUIRED, OPTIONAL);
  const { path, type, size, mode, uid, gid, mtime, ctime, ino, nlink, target } = fields;
  // Whether they are of these types is what findFault() looks at.
  const entry = {
    path,
    type,
    size,
    mode,
    uid,
    gid,
    mtimeMs: mtime,
    ctimeMs: ctime,
    inode: ino,
    nlink,
  } as Entry;
  if (target !== undefined) entry.target = target as string;
  if (fields.extents !== undefined) {
    entry.extents = asArray(fields.extents).map((extent) => decodeExtent(extent, references));
  }
  if (fields.lists !== undefined) {
    entry.lists = asArray(fields.lists).map((list) => decodeList(list, references));
  }
  const fault = findFault(entry);
  if (fault !== undefined) throw damaged(fault);
  return entry;
}

/** `[reference,offset,length]`, or `[length]` for a hole. */
export function encodeExtent(extent: Extent, table: ReferenceTable): string {
  const { reference, offset, length } = extent;
  return reference === undefined ? `[${length}]` : `[${table.add(reference)},${offset},${length}]`;
}

/** An extent from its line of a list record. */
export function decodeExtentLine(line: string, references: Reference[]): Extent {
  return decodeExtent(parseJson(line), references);
}

function decodeExtent(fields: unknown, references: Reference[]): Extent {
  if (!Array.isArray(fields)) throw damaged("bad extent");
  if (fields.length === 1) return { offset: 0, length: asLength(fields[0]) };
  if (fields.length !== 3) throw damaged("bad extent");
  const [offset, length] = [asNumber(fields[1]), asLength(fields[2])];
  if (offset + length > VAULT.plaintextBytesMax) throw damaged("extent past the end of a record");
  return { reference: asReference(fields[0], references), offset, length };
}

function decodeList(fields: unknown, references: Reference[]): ExtentList {
  if (!Array.isArray(fields) || fields.length !== 2) throw damaged("bad list");
  return { reference: asReference(fields[0], references), length: asLength(fields[1]) };
}

/** What is wrong with an entry, whoever made it. */
function findFault(entry: Entry): string | undefined {
  const { path, type, size, mode, uid, gid, mtimeMs, ctimeMs, inode, nlink } = entry;
  if (typeof path !== "string") return "its path is not text";
  const pathFault = findPathFault(path);
  if (pathFault !== undefined) return `bad path: ${pathFault}`;
  if (type !== "file" && type !== "dir" && type !== "symlink") return "unknown type";
  const areCounts = isCount(size) && isCount(mode) && isCount(uid) && isCount(gid) &&
    isCount(inode) && isCount(nlink);
  if (!areCounts || mode > MODE_MAX) return "number out of range";
  if (!Number.isSafeInteger(mtimeMs) || !Number.isSafeInteger(ctimeMs)) return "bad time";
  return findTargetFault(entry) ?? findContentsFault(entry);
}

function findTargetFault({ type, target }: Entry): string | undefined {
  if ((type === "symlink") !== (target !== undefined)) return `a ${type} and a target`;
  if (target === undefined) return undefined;
  const isRight = typeof target === "string" && target.length <= VAULT.pathUnitsMax &&
    target.isWellFormed() && !target.includes("\0");
  return isRight ? undefined : "bad target";
}

function findContentsFault({ type, size, extents, lists }: Entry): string | undefined {
  if (extents !== undefined && lists !== undefined) return "both extents and lists";
  if ((extents?.length ?? 0) > VAULT.entryExtentsMax) return "too many extents";
  if ((lists?.length ?? 0) > VAULT.entryListsMax) return "too many lists";
  const parts: { length: number }[] = lists ?? extents ?? NO_PARTS;
  if (type !== "file" && (size !== 0 || parts.length > 0)) return `a ${type} with contents`;
  let total = 0;
  for (const { length } of parts) total += length;
  return total === size ? undefined : `extents of ${total} bytes for a size of ${size}`;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function asReference(value: unknown, references: Reference[]): Reference {
  const reference = references[asNumber(value)];
  if (reference === undefined) throw damaged("no such reference");
  return reference;
}

function asNumber(value: unknown): number {
  if (!isCount(value)) throw damaged("number out of range");
  return value;
}

function asLength(value: unknown): number {
  const length = asNumber(value);
  if (length === 0) throw damaged("an extent of no bytes");
  return length;
}

function asArray(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw damaged("a list expected");
  return value;
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot decode entry: ${state}`);
}
