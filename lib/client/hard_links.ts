/** Which entries of a snapshot are names of one file, and where the first of them was restored to. */
import { RESTORE } from "../limits.ts";
import type { Entry } from "../vault/entry.ts";

export class HardLinks {
  /** Oldest first. */
  readonly #places = new Map<string, string>();

  /** Where the file was restored to under another name. */
  find(entry: Entry): string | undefined {
    const key = keyOf(entry);
    return key === undefined ? undefined : this.#places.get(key);
  }

  /** Remembers the first name of a file, if it has several. */
  add(entry: Entry, target: string): void {
    const key = keyOf(entry);
    if (key === undefined || this.#places.has(key)) return;
    this.#places.set(key, target);
    if (this.#places.size > RESTORE.hardLinksMax) {
      this.#places.delete(this.#places.keys().next().value!);
    }
  }
}

/** Inode numbers of different disks may be equal, so times and contents have to be the same too. */
function keyOf(
  { nlink, inode, size, mtimeMs, ctimeMs, extents, lists }: Entry,
): string | undefined {
  if (nlink < 2) return undefined;
  const first = (extents?.[0] ?? lists?.[0])?.reference?.id.toHex() ?? "";
  return `${inode} ${size} ${mtimeMs} ${ctimeMs} ${first}`;
}
