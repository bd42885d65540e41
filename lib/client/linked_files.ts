/**
 * Files with several names (hard links): read at the first, and again only if there were too many others meanwhile. Each
 * name's entry carries the contents.
 */
import { BACKUP } from "../limits.ts";
import type { FileOutcome } from "./backup_job.ts";
import type { Scanned } from "./scan.ts";

interface LinkedFile {
  outcome: Promise<FileOutcome>;
  /** Names that have not come yet. */
  namesLeft: number;
  mtimeMs: number;
  size: number;
}

export class LinkedFiles {
  readonly #files = new Map<string, LinkedFile>();

  /** What became of a file that has `nlink` names. */
  async get(
    { entry, device }: Scanned,
    read: () => Promise<{ outcome: Promise<FileOutcome> }>,
  ): Promise<{ outcome: Promise<FileOutcome> }> {
    const name = `${device} ${entry.inode}`;
    const { mtimeMs, size } = entry;
    const known = this.#files.get(name);
    if (known !== undefined && known.mtimeMs === mtimeMs && known.size === size) {
      if (--known.namesLeft === 0) this.#files.delete(name);
      return known;
    }
    const { outcome } = await read();
    this.#files.delete(name);
    this.#files.set(name, { outcome, namesLeft: entry.nlink - 1, mtimeMs, size });
    if (this.#files.size > BACKUP.linkedFilesMax) {
      this.#files.delete(this.#files.keys().next().value!);
    }
    return { outcome };
  }
}
