/** The files of a job, in a form that is cheap to copy from one thread to another (as `scan_batch.ts`). */
import type { FileStamp } from "./file_state.ts";
import type { Scanned } from "./scan.ts";

/** A file to read, and what it looked like when the walk came by. */
export interface FileToRead extends FileStamp {
  path: string;
  /** It takes less room than it has bytes. */
  isSparse: boolean;
}

export interface FileList {
  /** Each ended by a NUL, which none can hold. */
  paths: string;
  /** `NUMBERS` for each file. */
  numbers: Float64Array<ArrayBuffer>;
}

/** Size, mtime, ctime, inode, whether it is sparse. */
const NUMBERS = 5;

export function fileToRead({ entry, allocatedBytes }: Scanned): FileToRead {
  const { path, size, mtimeMs, ctimeMs, inode } = entry;
  return { path, size, mtimeMs, ctimeMs, inode, isSparse: allocatedBytes < size };
}

export function encodeFiles(files: Scanned[]): FileList {
  const numbers = new Float64Array(files.length * NUMBERS);
  let paths = "";
  let at = 0;
  for (const { path, size, mtimeMs, ctimeMs, inode, isSparse } of files.map(fileToRead)) {
    paths += path + "\0";
    numbers[at++] = size;
    numbers[at++] = mtimeMs;
    numbers[at++] = ctimeMs;
    numbers[at++] = inode;
    numbers[at++] = isSparse ? 1 : 0;
  }
  return { paths, numbers };
}

export function decodeFiles({ paths, numbers }: FileList): FileToRead[] {
  const texts = paths.split("\0");
  const files: FileToRead[] = [];
  for (let i = 0, at = 0; at < numbers.length; i++) {
    files.push({
      path: texts[i],
      size: numbers[at++],
      mtimeMs: numbers[at++],
      ctimeMs: numbers[at++],
      inode: numbers[at++],
      isSparse: numbers[at++] === 1,
    });
  }
  return files;
}
