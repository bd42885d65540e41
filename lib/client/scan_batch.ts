/**
 * What the walk found, many entries at a time, in a form that is cheap to copy from one thread to another: text for the
 * names, numbers for the rest. Fifty thousand objects would take longer to copy than to make.
 */
import type { Entry } from "../vault/entry.ts";
import type { EntryType } from "../vault/entry_line.ts";
import type { Left, Scanned } from "./scan.ts";

/** What is not in the backup though nobody asked to leave it out. */
export interface Skip {
  path: string;
  reason: string;
}

export interface ScanBatch {
  /** Paths, then the targets of the symbolic links among them; each ended by a NUL, which none can hold. */
  text: string;
  /** `NUMBERS` for each entry. */
  numbers: Float64Array<ArrayBuffer>;
  /** What came up before the last of the entries: the first ones, and how many more. */
  skips: Skip[];
  moreSkips: number;
}

const TYPES: EntryType[] = ["file", "dir", "symlink"];
/** In place of a type, where only the path is known. */
const LEFT = TYPES.length;
/** Type, size, mode, uid, gid, mtime, ctime, inode, nlink, device, allocated bytes. */
const NUMBERS = 11;

export function encodeBatch(
  found: (Scanned | Left)[],
  { skips, moreSkips }: Pick<ScanBatch, "skips" | "moreSkips">,
): ScanBatch {
  const numbers = new Float64Array(found.length * NUMBERS);
  let paths = "";
  let targets = "";
  let at = 0;
  for (const one of found) {
    if ("path" in one) {
      paths += one.path + "\0";
      numbers[at] = LEFT;
      at += NUMBERS;
      continue;
    }
    const { entry, device, allocatedBytes } = one;
    paths += entry.path + "\0";
    if (entry.target !== undefined) targets += entry.target + "\0";
    numbers[at++] = TYPES.indexOf(entry.type);
    numbers[at++] = entry.size;
    numbers[at++] = entry.mode;
    numbers[at++] = entry.uid;
    numbers[at++] = entry.gid;
    numbers[at++] = entry.mtimeMs;
    numbers[at++] = entry.ctimeMs;
    numbers[at++] = entry.inode;
    numbers[at++] = entry.nlink;
    numbers[at++] = device;
    numbers[at++] = allocatedBytes;
  }
  return { text: paths + targets, numbers, skips, moreSkips };
}

export function decodeBatch({ text, numbers }: ScanBatch): (Scanned | Left)[] {
  const texts = text.split("\0");
  const count = numbers.length / NUMBERS;
  const found: (Scanned | Left)[] = [];
  let target = count;
  for (let i = 0, at = 0; i < count; i++) {
    if (numbers[at] === LEFT) {
      found.push({ path: texts[i] });
      at += NUMBERS;
      continue;
    }
    const entry: Entry = {
      path: texts[i],
      type: TYPES[numbers[at++]],
      size: numbers[at++],
      mode: numbers[at++],
      uid: numbers[at++],
      gid: numbers[at++],
      mtimeMs: numbers[at++],
      ctimeMs: numbers[at++],
      inode: numbers[at++],
      nlink: numbers[at++],
    };
    if (entry.type === "symlink") entry.target = texts[target++];
    found.push({ entry, device: numbers[at++], allocatedBytes: numbers[at++] });
  }
  return found;
}
