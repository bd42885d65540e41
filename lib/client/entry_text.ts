/** Entries as lines for people and for programs. */
import { formatByteSize } from "../flags.ts";
import { escapeText } from "../log.ts";
import type { Entry } from "../vault/entry.ts";

/** A path as it is, or quoted if it has characters that a terminal would act on. */
export function showPath(path: string): string {
  return /[\p{C}\p{Zl}\p{Zp}]/u.test(path) ? escapeText(path) : path;
}

/** Local time to the second: `2026-01-31 18:05:59`. */
export function showTime(timeMs: number): string {
  const date = new Date(timeMs);
  if (Number.isNaN(date.getTime())) return "?";
  const local = new Date(timeMs - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace("T", " ");
}

/** A length of time, to two digits or so: `50 s`, `12 min`, `36 h`, `5 days`. */
export function showSpan(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** `-rw-r--r--`. */
export function showMode({ type, mode }: Entry): string {
  const kind = { file: "-", dir: "d", symlink: "l" }[type];
  const letters = [..."rwxrwxrwx"].map((letter, i) => (mode >> (8 - i)) & 1 ? letter : "-");
  const special = [[0o4000, 2, "s"], [0o2000, 5, "s"], [0o1000, 8, "t"]] as const;
  for (const [bit, at, letter] of special) {
    if ((mode & bit) !== 0) letters[at] = letters[at] === "x" ? letter : letter.toUpperCase();
  }
  return kind + letters.join("");
}

/** Mode, owner, size, time, path. */
export function showEntry(entry: Entry): string {
  const { uid, gid, size, mtimeMs, path, target } = entry;
  const owner = `${uid}:${gid}`.padStart(11);
  const bytes = formatByteSize(size).padStart(10);
  const link = target === undefined ? "" : ` -> ${showPath(target)}`;
  return `${showMode(entry)} ${owner} ${bytes} ${showTime(mtimeMs)} ${showPath(path)}${link}`;
}

/** The fields of an entry, without where its contents are. */
export function entryFields(entry: Entry): Record<string, unknown> {
  const { path, type, size, mode, uid, gid, mtimeMs, target } = entry;
  const fields = { path, type, size, mode, uid, gid, mtimeMs };
  return target === undefined ? fields : { ...fields, target };
}
