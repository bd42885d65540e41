/**
 * Does jobs (see `backup_job.ts`), in a worker or, when there is little to do, in the main thread: reads and cuts, and
 * leaves the rest to the sealer, which goes on while the next bytes are read.
 */
import type { Job, JobResult } from "./backup_job.ts";
import type { ContentSealer } from "./content_sealer.ts";
import { decodeFiles } from "./file_list.ts";
import { encodeResults, type FileResult } from "./file_results.ts";
import { JobReferences, type RunnerOptions } from "./file_run.ts";
import { LargeFileReader } from "./large_file_reader.ts";
import { SmallFileReader } from "./small_file_reader.ts";

export class JobRunner {
  readonly #sealer: ContentSealer;
  readonly #small: SmallFileReader;
  readonly #large: LargeFileReader;
  /** Reading is one job at a time; sealing of several overlaps. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(options: RunnerOptions) {
    this.#sealer = options.sealer;
    this.#small = new SmallFileReader(options);
    this.#large = new LargeFileReader(options);
  }

  async run(job: Job): Promise<JobResult> {
    const references = new JobReferences();
    const reading = this.#reading.then(() => this.#read(job, references));
    this.#reading = reading.catch(() => {});
    const { files, bytesRead } = await reading;
    return {
      references: await references.all(),
      files: encodeResults(files),
      bytesRead,
      cores: this.#sealer.meter.take(),
      ...(job.kind === "piece" ? { buffer: job.buffer } : {}),
    };
  }

  async #read(
    job: Job,
    references: JobReferences,
  ): Promise<{ files: FileResult[]; bytesRead: number }> {
    if (job.kind !== "piece") {
      const reader = job.kind === "small" ? this.#small : this.#large;
      const files = await reader.read(decodeFiles(job.files), references);
      return { files, bytesRead: reader.takeBytesRead() };
    }
    for (const { start, end } of job.chunks) {
      await this.#sealer.ready();
      references.add(this.#sealer.seal(job.buffer.subarray(start, end)));
    }
    return { files: [], bytesRead: 0 };
  }
}
