/**
 * Files with several names (hard links): read at the first, and again only if there were too many others meanwhile. Each
 * name's entry carries the contents.
 */
import { BACKUP } from "../limits.ts";
import { type FileReading, readingAlone } from "./job_outcomes.ts";
import type { Scanned } from "./scan.ts";

interface LinkedFile {
  reading: FileReading;
  /** Names that have not come yet. */
  namesLeft: number;
  mtimeMs: number;
  size: number;
}

export class LinkedFiles {
  readonly #files = new Map<string, LinkedFile>();

  /** Of a file that has `nlink` names: that of the first, or a new one. */
  get({ entry, device }: Scanned, read: () => FileReading): FileReading {
    const name = `${device} ${entry.inode}`;
    const { mtimeMs, size } = entry;
    const known = this.#files.get(name);
    if (known !== undefined && known.mtimeMs === mtimeMs && known.size === size) {
      if (--known.namesLeft === 0) this.#files.delete(name);
      return known.reading;
    }
    const reading = read();
    const file = { reading, namesLeft: entry.nlink - 1, mtimeMs, size };
    // The next name may be far away, and what became of all other files of the job is not to wait for it.
    reading.job.done.then(() => void (file.reading = readingAlone(reading)))
      .catch(() => {}); // told to whoever waits for it
    this.#files.delete(name);
    this.#files.set(name, file);
    if (this.#files.size > BACKUP.linkedFilesMax) {
      this.#files.delete(this.#files.keys().next().value!);
    }
    return reading;
  }
}
