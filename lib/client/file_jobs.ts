/**
 * Makes jobs of the files that have to be read, and contents of their results. Small files are collected until a job is
 * worth it; where a job ends depends on the files alone, so that equal trees give equal records. Huge files are cut here,
 * in one pass, and their pieces sealed by all workers.
 */
import { BACKUP } from "../limits.ts";
import { keyedTextHash } from "../vault/keyed_hash.ts";
import type { Extent } from "../vault/entry.ts";
import { SMALL_FILE_BYTES_MAX } from "../vault/small_files.ts";
import type { Reference } from "../vault/session.ts";
import type { FileOutcome, FileResult, FileToRead, JobResult, SentExtent } from "./backup_job.ts";
import { type HugeFileOptions, HugeFileReader } from "./huge_file_reader.ts";

const HASH_SEED = 253;

export interface FileJobsOptions extends HugeFileOptions {
  pathTable: Uint32Array;
  /** Told of bytes that were read. */
  onRead: (bytes: number) => void;
}

/** Files for one job, with what waits for them. */
interface Collection {
  kind: "small" | "large";
  files: FileToRead[];
  outcomes: PromiseWithResolvers<FileOutcome>[];
  bytes: number;
}

export class FileJobs {
  readonly #options: FileJobsOptions;
  readonly #huge: HugeFileReader;
  #small = emptyCollection("small");
  #large = emptyCollection("large");

  constructor(options: FileJobsOptions) {
    this.#options = options;
    this.#huge = new HugeFileReader(options);
  }

  /** Takes a file; waits while the workers have enough to do. Calls must not overlap. */
  async add(file: FileToRead): Promise<{ outcome: Promise<FileOutcome> }> {
    if (file.size >= BACKUP.hugeFileBytes) return await this.#huge.read(file);
    const collection = file.size < SMALL_FILE_BYTES_MAX ? this.#small : this.#large;
    const outcome = Promise.withResolvers<FileOutcome>();
    outcome.promise.catch(() => {}); // told to whoever waits for it
    collection.files.push(file);
    collection.outcomes.push(outcome);
    collection.bytes += file.size;
    if (this.#isFull(collection, file)) await this.#start(collection, { isFull: true });
    return { outcome: outcome.promise };
  }

  /** Starts whatever has been collected: somebody waits for it, or nothing comes any more. */
  async flush(): Promise<void> {
    for (const collection of [this.#small, this.#large]) {
      if (collection.files.length > 0) await this.#start(collection, { isFull: false });
    }
  }

  #isFull(collection: Collection, { path, size }: FileToRead): boolean {
    const { jobBytesMin, jobBytesMax, jobFilesMax } = BACKUP;
    if (collection.bytes >= jobBytesMax || collection.files.length >= jobFilesMax) return true;
    if (collection.bytes < jobBytesMin) return false;
    const name = path.slice(path.lastIndexOf("/") + 1);
    const hash = keyedTextHash(this.#options.pathTable, HASH_SEED, name);
    return hash < Math.min(1, size / (jobBytesMax - jobBytesMin) * 2) * 2 ** 32;
  }

  async #start(collection: Collection, { isFull }: { isFull: boolean }): Promise<void> {
    const { kind, files, outcomes } = collection;
    if (kind === "small") this.#small = emptyCollection(kind);
    else this.#large = emptyCollection(kind);
    const { pool } = this.#options;
    const job = { kind, files };
    const { result } = isFull ? await pool.start(job) : await pool.startPart(job);
    result.then((result) => this.#settle(result, outcomes), (error) => {
      for (const { reject } of outcomes) reject(error);
    });
  }

  #settle(
    { references, files, bytesRead }: JobResult,
    outcomes: PromiseWithResolvers<FileOutcome>[],
  ): void {
    this.#options.onRead(bytesRead);
    const known = references.map((sent) => ({ ...sent, session: this.#options.session.id }));
    for (const [index, file] of files.entries()) outcomes[index].resolve(outcomeOf(file, known));
  }
}

function outcomeOf({ extents, fault, ...rest }: FileResult, references: Reference[]): FileOutcome {
  if (fault !== undefined) return { fault };
  const size = extents.reduce(
    (sum, extent) => sum + (extent.length === 1 ? extent[0] : extent[2]),
    0,
  );
  return {
    contents: { size, extents: extents.map((sent) => toExtent(sent, references)) },
    ...rest,
  };
}

function toExtent(sent: SentExtent, references: Reference[]): Extent {
  if (sent.length === 1) return { offset: 0, length: sent[0] };
  const [place, offset, length] = sent;
  return { reference: references[place], offset, length };
}

function emptyCollection(kind: Collection["kind"]): Collection {
  return { kind, files: [], outcomes: [], bytes: 0 };
}
