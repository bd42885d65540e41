/**
 * The order of entries (docs/format.md, "Order"): UTF-8 bytes of the paths, with `/` as if it were
 * byte 0. So a folder is followed by its contents, and these by whatever comes after the folder.
 */
import { VAULT } from "../limits.ts";

/** A name that is empty or nothing but one or two dots. */
const UNCLEAN = /\/\.{0,2}(?:\/|$)/;
const SLASH = 0x2f;
const SURROGATE_FIRST = 0xd800;
const SURROGATE_END = 0xe000;

/** Negative if `a` comes before `b`, 0 if they are the same, positive otherwise. */
export function comparePaths(a: string, b: string): number {
  if (a === b) return 0;
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) {
    const unitA = a.charCodeAt(i);
    const unitB = b.charCodeAt(i);
    if (unitA !== unitB) return rank(unitA) - rank(unitB);
  }
  return a.length - b.length;
}

/** Whether `path` is `folder` or something in it. */
export function isWithin(path: string, folder: string): boolean {
  if (folder === "/") return true;
  return path.startsWith(folder) && (path.length === folder.length || path[folder.length] === "/");
}

/** The folder that a path lies in; its own for `/`. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** Why a path cannot stand in an entry; `undefined` if it can. */
export function findPathFault(path: string): string | undefined {
  if (!path.startsWith("/")) return "it is not absolute";
  if (path.includes("\0") || !path.isWellFormed()) return "it is not a path in UTF-8";
  if (path.length > VAULT.pathUnitsMax) return "it is too long";
  return path !== "/" && UNCLEAN.test(path) ? "it has an empty name, `.` or `..` in it" : undefined;
}

/** UTF-16 units order as code points do, but for surrogates, which stand for the highest of them. */
function rank(unit: number): number {
  if (unit === SLASH) return -1;
  if (unit < SURROGATE_FIRST) return unit;
  return unit < SURROGATE_END ? unit + 0x10000 : unit;
}
