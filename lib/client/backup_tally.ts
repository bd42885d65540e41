/** What a backup counts, and the paths that it has to report. */
import { BACKUP } from "../limits.ts";
import type { Entry } from "../vault/entry.ts";

/** A file, against the last snapshot. */
export type FileState = "new" | "changed" | "unchanged";

/** A path that is not in the backup, or not as it should be, and why. */
export interface SkippedPath {
  path: string;
  reason: string;
}

export class BackupTally {
  files = 0;
  folders = 0;
  newFiles = 0;
  changedFiles = 0;
  unchangedFiles = 0;
  /** Sizes of the files that the walk has come to. */
  scannedBytes = 0;
  /** The same of those whose contents are done. */
  doneBytes = 0;
  doneEntries = 0;
  bytesRead = 0;
  /** The walk has come to its end: then the numbers above are those of the whole. */
  isScanned = false;
  readonly skipped: SkippedPath[] = [];
  skippedCount = 0;

  /** Counts a file that the walk has come to. */
  count({ size }: Entry, state: FileState): void {
    this.files++;
    this.scannedBytes += size;
    if (state === "new") this.newFiles++;
    else if (state === "changed") this.changedFiles++;
    else this.unchangedFiles++;
  }

  skip(path: string, reason: string): void {
    this.skippedCount++;
    if (this.skipped.length < BACKUP.reportedPathsMax) this.skipped.push({ path, reason });
  }

  /** Counts some of which nothing else is known. */
  skipMore(count: number): void {
    this.skippedCount += count;
  }
}
