/**
 * Collects files of a restore into jobs: neighbours share records, so a job ends where the next file shares none with
 * it, as soon as it is large enough.
 */
import { RESTORE } from "../limits.ts";
import type { Extent } from "../vault/entry.ts";
import type { Reference } from "../vault/session.ts";
import type { JobFile, JobPiece, JobRecord, RestoreJob } from "./restore_job.ts";

/** A file without its pieces, and the key of each of its references. */
export interface PlannedFile {
  file: Omit<JobFile, "pieces">;
  extents: Extent[];
  /** Where in the file the first extent lies, bytes. */
  at: number;
  /** Keys of the extents that have a reference, in order. */
  keys: Uint8Array[];
}

export class JobBuilder {
  readonly #verify: boolean;
  readonly #umask: number;
  #number = 1;
  #records: JobRecord[] = [];
  #places = new Map<string, number>();
  #files: JobFile[] = [];
  #bytes = 0;

  constructor({ verify, umask }: { verify: boolean; umask: number }) {
    this.#verify = verify;
    this.#umask = umask;
  }

  /** Number of the job that is being collected. */
  get number(): number {
    return this.#number;
  }

  get isEmpty(): boolean {
    return this.#files.length === 0;
  }

  /** Whether a file should come into the next job instead. */
  isFullFor(first: Reference | undefined): boolean {
    const isLarge = this.#files.length >= RESTORE.jobFilesMax ||
      this.#records.length >= RESTORE.jobRecordsMax || this.#bytes >= RESTORE.jobBytesMax;
    if (!isLarge) return false;
    // Twice as large it ends in any case.
    const isHuge = this.#files.length >= 2 * RESTORE.jobFilesMax ||
      this.#records.length >= 2 * RESTORE.jobRecordsMax || this.#bytes >= 2 * RESTORE.jobBytesMax;
    return isHuge || first === undefined || !this.#places.has(first.id.toHex());
  }

  add({ file, extents, at, keys }: PlannedFile): void {
    const pieces: JobPiece[] = [];
    let position = at;
    let key = 0;
    for (const { reference, offset, length } of extents) {
      if (reference !== undefined) {
        const record = this.#place(reference, keys[key++]);
        pieces.push({ record, offset, length, at: position });
        this.#bytes += length;
      }
      position += length;
    }
    this.#files.push({ ...file, pieces });
  }

  /** The job; then the next one is begun. */
  take(): RestoreJob {
    const [verify, umask] = [this.#verify, this.#umask];
    const fields = { number: this.#number++, records: this.#records, files: this.#files };
    this.#records = [];
    this.#places = new Map();
    this.#files = [];
    this.#bytes = 0;
    return { ...fields, verify, umask };
  }

  #place({ id }: Reference, key: Uint8Array): number {
    const name = id.toHex();
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = this.#records.length;
    this.#places.set(name, place);
    this.#records.push({ id, key });
    return place;
  }
}
