/**
 * What becomes of the files of a job. Thousands of entries wait for it, so there is one promise for all, and an object for
 * each file only when it is asked for: otherwise they outlive the engine's quick collection of young objects, which takes
 * more time than all else that the main thread does with them.
 */
import type { Extent } from "../vault/entry.ts";
import type { Reference } from "../vault/session.ts";
import type { FileOutcome, JobResult } from "./backup_job.ts";
import { type FileResult, resultAt, type SentExtent } from "./file_results.ts";

/** A file that is being read. */
export interface FileReading {
  job: JobOutcomes;
  /** Number of the file in its job. */
  number: number;
}

export class JobOutcomes {
  readonly #done = Promise.withResolvers<void>();
  #outcomeAt: ((number: number) => FileOutcome) | undefined;

  constructor() {
    this.#done.promise.catch(() => {}); // told to whoever waits for it
  }

  get isDone(): boolean {
    return this.#outcomeAt !== undefined;
  }

  /** Rejects if the job has failed. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** @throws {RangeError} as long as the job is not done */
  at(number: number): FileOutcome {
    if (this.#outcomeAt === undefined) throw new RangeError("The job is under way");
    return this.#outcomeAt(number);
  }

  /** @param session in which the records were sealed */
  settle({ references: sent, files }: JobResult, session: Uint8Array): void {
    const references = sent.map((reference) => ({ ...reference, session }));
    this.#settle((number) => outcomeOf(resultAt(files, number), references));
  }

  /** Of a job with one file. */
  settleOne(outcome: FileOutcome): void {
    this.#settle(() => outcome);
  }

  fail(error: unknown): void {
    this.#done.reject(error);
  }

  #settle(outcomeAt: (number: number) => FileOutcome): void {
    this.#outcomeAt = outcomeAt;
    this.#done.resolve();
  }
}

/** The same file, without the others of its job, which is done. */
export function readingAlone({ job, number }: FileReading): FileReading {
  const alone = new JobOutcomes();
  alone.settleOne(job.at(number));
  return { job: alone, number: 0 };
}

function outcomeOf({ extents, fault, ...rest }: FileResult, references: Reference[]): FileOutcome {
  if (fault !== undefined) return { fault };
  let size = 0;
  for (const extent of extents) size += extent.length === 1 ? extent[0] : extent[2];
  const contents = { size, extents: extents.map((sent) => toExtent(sent, references)) };
  return { contents, ...rest };
}

function toExtent(sent: SentExtent, references: Reference[]): Extent {
  if (sent.length === 1) return { offset: 0, length: sent[0] };
  const [place, offset, length] = sent;
  return { reference: references[place], offset, length };
}
