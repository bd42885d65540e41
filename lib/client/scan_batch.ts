/**
 * What the walk found, many entries at a time, in a form that is cheap to copy from one thread to another: text for the
 * names, numbers for the rest. Fifty thousand objects would take longer to copy than to make.
 */
import type { Entry } from "../vault/entry.ts";
import type { EntryType } from "../vault/entry_line.ts";
import type { Scanned } from "./scan.ts";

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
/** Type, size, mode, uid, gid, mtime, ctime, inode, nlink, device, allocated bytes. */
const NUMBERS = 11;

export function encodeBatch(
  scanned: Scanned[],
  { skips, moreSkips }: Pick<ScanBatch, "skips" | "moreSkips">,
): ScanBatch {
  const numbers = new Float64Array(scanned.length * NUMBERS);
  let paths = "";
  let targets = "";
  let at = 0;
  for (const { entry, device, allocatedBytes } of scanned) {
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

export function decodeBatch({ text, numbers }: ScanBatch): Scanned[] {
  const texts = text.split("\0");
  const count = numbers.length / NUMBERS;
  const scanned: Scanned[] = [];
  let target = count;
  for (let i = 0, at = 0; i < count; i++) {
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
    scanned.push({ entry, device: numbers[at++], allocatedBytes: numbers[at++] });
  }
  return scanned;
}
