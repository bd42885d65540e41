/**
 * Entries as the lines that {@link encodeEntry} makes of them, without taking these apart: most entries of a tree are what they were
 * in the last snapshot, and an object for each would take longer to make than all that is done with it.
 */
import { VAULT } from "../limits.ts";

export type EntryType = "file" | "dir" | "symlink";

/** An entry without its contents. */
export interface BareEntry {
  /** Absolute, without `.`, `..` or empty names. */
  path: string;
  type: EntryType;
  /** Bytes of a file; 0 for others. */
  size: number;
  /** Permission bits, 0 to 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Milliseconds since 1970; may be negative. */
  mtimeMs: number;
  ctimeMs: number;
  /** Of the source; together with `nlink` over 1 it tells which names are one file. */
  inode: number;
  nlink: number;
  /** Of a symbolic link. */
  target?: string;
}

/** Where a file is that lies in one record. */
export interface OneExtent {
  /** Index of the record's reference. */
  place: number;
  /** Bytes. */
  offset: number;
  length: number;
}

/** A line of an entry, and what it says. */
export interface LineFacts extends Pick<BareEntry, "path" | "type" | "size"> {
  line: string;
  /** Of contents that lie in one record; undefined for others, and for none. */
  extent: OneExtent | undefined;
}

const PATH_AT = '{"path":"'.length;
/** In the text of a path each quotation mark has a backslash before it, so this is not in one. */
const BEHIND_PATH = '","type":"';
const BEHIND_TYPE = '","size":';
const EXTENTS = ',"extents":[';
/** Numbers as JSON has them. */
const ONE_EXTENT = /,"extents":\[\[(0|[1-9]\d*),(0|[1-9]\d*),(0|[1-9]\d*)\]\]\}$/y;
const BRACE = 0x7d;

/** An entry's line up to its contents. */
export function encodeLineStart(entry: BareEntry): string {
  const { path, type, size, mode, uid, gid, mtimeMs, ctimeMs, inode, nlink, target } = entry;
  // What JSON.stringify() makes of an object with these fields, in half the time; all numbers are safe integers.
  const start = `{"path":${JSON.stringify(path)},"type":"${type}","size":${size},"mode":${mode}` +
    `,"uid":${uid},"gid":${gid},"mtime":${mtimeMs},"ctime":${ctimeMs},"ino":${inode},"nlink":${nlink}`;
  return target === undefined ? start : `${start},"target":${JSON.stringify(target)}`;
}

/**
 * Whether a line of a file or folder is of that path. False as well where text and path differ because JSON has one in
 * other letters.
 *
 * Without a backslash in the path no quotation mark in it can be taken for one of the text, which has a backslash before it.
 */
export function isLineOf(line: string, path: string): boolean {
  return line.startsWith(path, PATH_AT) && line.startsWith(BEHIND_PATH, PATH_AT + path.length) &&
    !path.includes("\\");
}

/** Whether the line ends at that place: it has no contents. */
export function endsLine(line: string, at: number): boolean {
  return line.length === at + 1 && line.charCodeAt(at) === BRACE;
}

/** The extent that stands at that place in a line, and nothing behind it. Undefined if that is not so, or an entry cannot have it. */
export function readOneExtent(line: string, at: number): OneExtent | undefined {
  ONE_EXTENT.lastIndex = at;
  const match = ONE_EXTENT.exec(line);
  if (match === null) return undefined;
  const [place, offset, length] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return length > 0 && offset + length <= VAULT.plaintextBytesMax
    ? { place, offset, length }
    : undefined;
}

/** What a line says that is known to be an entry. */
export function readLine(line: string): LineFacts {
  const typeAt = pathEnd(line) + BEHIND_PATH.length;
  const typeEnd = line.indexOf('"', typeAt);
  const sizeAt = typeEnd + BEHIND_TYPE.length;
  const size = Number(line.slice(sizeAt, line.indexOf(",", sizeAt)));
  const extentsAt = line.lastIndexOf(EXTENTS);
  const extent = extentsAt < 0 ? undefined : readOneExtent(line, extentsAt);
  return {
    line,
    path: readPath(line),
    type: line.slice(typeAt, typeEnd) as EntryType,
    size,
    extent,
  };
}

/** The path in a line that is known to be an entry. */
export function readPath(line: string): string {
  const text = line.slice(PATH_AT, pathEnd(line));
  return text.includes("\\") ? JSON.parse(`"${text}"`) as string : text;
}

/** A line that has one extent, with another index for that. */
export function moveLine(line: string, place: number, { offset, length }: OneExtent): string {
  return `${line.slice(0, line.lastIndexOf(EXTENTS))}${EXTENTS}[${place},${offset},${length}]]}`;
}

function pathEnd(line: string): number {
  return line.indexOf(BEHIND_PATH, PATH_AT);
}
