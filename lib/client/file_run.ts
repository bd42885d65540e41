/** What readers of runs of files have in common (see `backup_job.ts`). */
import type { Reference } from "../vault/session.ts";
import type { JobResult } from "./backup_job.ts";
import type { FileToRead } from "./file_list.ts";
import type { FileResult } from "./file_results.ts";
import type { ContentSealer } from "./content_sealer.ts";
import type { Turns } from "./turns.ts";

export interface RunnerOptions {
  sealer: ContentSealer;
  chunkTable: Uint32Array;
  pathTable: Uint32Array;
  /** Of a thread in which there is more to do than to read. */
  turns?: Turns;
}

/** References of one job, in the order in which its files name them. */
export class JobReferences {
  readonly #pending: Promise<Reference>[] = [];

  /** Its place. */
  add(reference: Promise<Reference>): number {
    return this.#pending.push(reference) - 1;
  }

  async all(): Promise<JobResult["references"]> {
    const references = await Promise.all(this.#pending);
    return references.map(({ id, maskedKey }) => ({ id, maskedKey }));
  }
}

/** A run of files is read one after another. */
export interface FileRunReader {
  read(files: FileToRead[], references: JobReferences): Promise<FileResult[]>;
  takeBytesRead(): number;
}
