/**
 * Makes jobs of the files that have to be read, and contents of their results. Small files are collected until a job is
 * worth it; where a job ends depends on the files alone, so that equal trees give equal records. Huge files are cut here,
 * in one pass, and their pieces sealed by all workers.
 */
import { BACKUP } from "../limits.ts";
import { keyedTextHash } from "../vault/keyed_hash.ts";
import { SMALL_FILE_BYTES_MAX } from "../vault/small_files.ts";
import { encodeFiles, fileToRead } from "./file_list.ts";
import { type HugeFileOptions, HugeFileReader } from "./huge_file_reader.ts";
import { type FileReading, JobOutcomes } from "./job_outcomes.ts";
import type { Scanned } from "./scan.ts";

const HASH_SEED = 253;

export interface FileJobsOptions extends HugeFileOptions {
  pathTable: Uint32Array;
  /** Told of bytes that were read. */
  onRead: (bytes: number) => void;
}

/** Files for one job. */
interface Collection {
  kind: "small" | "large";
  files: Scanned[];
  bytes: number;
  outcomes: JobOutcomes;
}

export class FileJobs {
  readonly #options: FileJobsOptions;
  readonly #huge: HugeFileReader;
  #small = emptyCollection("small");
  #large = emptyCollection("large");
  #startFull: (() => Promise<void>) | undefined;

  constructor(options: FileJobsOptions) {
    this.#options = options;
    this.#huge = new HugeFileReader(options);
  }

  /** Takes a file. If {@link isFull} after that, {@link start} is to be waited for before the next. */
  add(scanned: Scanned): FileReading {
    const { size } = scanned.entry;
    if (size >= BACKUP.hugeFileBytes) {
      const job = new JobOutcomes();
      this.#startFull = () => this.#readHuge(scanned, job);
      return { job, number: 0 };
    }
    const collection = size < SMALL_FILE_BYTES_MAX ? this.#small : this.#large;
    const number = collection.files.push(scanned) - 1;
    collection.bytes += size;
    if (isFull(collection, this.#options.pathTable)) {
      this.#startFull = () => this.#start(collection, { isFull: true });
    }
    return { job: collection.outcomes, number };
  }

  /** Whether there is a job to be started. */
  get isFull(): boolean {
    return this.#startFull !== undefined;
  }

  /** Starts it; waits while the workers have enough to do. */
  async start(): Promise<void> {
    const start = this.#startFull;
    this.#startFull = undefined;
    await start?.();
  }

  /** Starts whatever has been collected: somebody waits for it, or nothing comes any more. */
  async flush(): Promise<void> {
    for (const collection of [this.#small, this.#large]) {
      if (collection.files.length > 0) await this.#start(collection, { isFull: false });
    }
  }

  async #start(collection: Collection, { isFull }: { isFull: boolean }): Promise<void> {
    const { kind, files, outcomes } = collection;
    if (kind === "small") this.#small = emptyCollection(kind);
    else this.#large = emptyCollection(kind);
    const { pool, session, onRead } = this.#options;
    const job = { kind, files: encodeFiles(files) };
    const { result } = isFull ? await pool.start(job) : await pool.startPart(job);
    result.then((result) => {
      onRead(result.bytesRead);
      outcomes.settle(result, session.id);
    }).catch((error) => outcomes.fail(error));
  }

  async #readHuge(scanned: Scanned, job: JobOutcomes): Promise<void> {
    const { outcome } = await this.#huge.read(fileToRead(scanned));
    outcome.then((outcome) => job.settleOne(outcome)).catch((error) => job.fail(error));
  }
}

/** Where a job ends depends on its files alone. */
function isFull({ files, bytes }: Collection, pathTable: Uint32Array): boolean {
  const { jobBytesMin, jobBytesMax, jobFilesMax } = BACKUP;
  if (bytes >= jobBytesMax || files.length >= jobFilesMax) return true;
  if (bytes < jobBytesMin) return false;
  const { path, size } = files[files.length - 1].entry;
  const hash = keyedTextHash(pathTable, HASH_SEED, path.slice(path.lastIndexOf("/") + 1));
  return hash < Math.min(1, size / (jobBytesMax - jobBytesMin) * 2) * 2 ** 32;
}

function emptyCollection(kind: Collection["kind"]): Collection {
  return { kind, files: [], bytes: 0, outcomes: new JobOutcomes() };
}
