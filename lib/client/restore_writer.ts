/**
 * Does the jobs of a restore, in a worker or in the main thread: gets all records of a job with one request, opens them
 * as they come, and writes the parts of files that each holds. So a record is in memory only until it is written, and
 * a job's memory does not depend on how its files lie in the records.
 */
import { releaseBuffer } from "../bytes.ts";
import { DamagedError, describeError, HoldfastError } from "../errors.ts";
import { type RecordAnswer, RecordState } from "../protocol_v4.ts";
import { openRecord } from "../vault/seal.ts";
import {
  createFile,
  discardFile,
  isDiskFull,
  placeFile,
  verifyPiece,
  writePiece,
  writeWholeFile,
} from "./file_writer.ts";
import { recordError } from "./record_loader.ts";
import type { JobFailure, JobFile, JobPiece, JobResult, RestoreJob } from "./restore_job.ts";
import type { VaultClientSession } from "./session_v4.ts";
import { ComputeMeter } from "./spare_cores.ts";

const DISK_FULL_HINT = "what is there is complete; with more room, restore again: files that " +
  "are there are not written again";

/** A place where a record is needed. */
interface Use {
  file: number;
  piece: JobPiece;
}

/** How far a file has come. */
interface FileState {
  /** Pieces that are not written yet. */
  left: number;
  isCreated: boolean;
  hasFailed: boolean;
}

export class RestoreWriter {
  readonly #session: VaultClientSession;
  readonly #meter = new ComputeMeter();
  #isStopped = false;

  constructor(session: VaultClientSession) {
    this.#session = session;
  }

  /** Nothing is written after this. What is begun is left for the owner of the jobs to remove. */
  stop(): void {
    this.#isStopped = true;
    this.#session.close();
  }

  /** @throws whatever ends the whole restore: the server is gone, or not to be trusted */
  async run(job: RestoreJob): Promise<JobResult> {
    const running = new RunningJob(job, () => this.#isStopped);
    running.writeEmptyFiles();
    if (job.records.length > 0) await this.#getRecords(job, running);
    return { ...running.result(), cores: this.#meter.take() };
  }

  async #getRecords(job: RestoreJob, running: RunningJob): Promise<void> {
    const ids = job.records.map(({ id }) => id);
    const wrong: number[] = [];
    await this.#session.read(ids, (answer) => {
      if (this.#write(job, running, answer) !== undefined) wrong.push(answer.index);
    });
    if (wrong.length === 0) return;
    // The server looks at these before it sends them, and repairs what it can.
    await this.#session.get(wrong.map((index) => ids[index]), (answer) => {
      const index = wrong[answer.index];
      const fault = this.#write(job, running, { ...answer, index });
      if (fault !== undefined) running.lose(index, fault);
    });
  }

  /** @returns what is wrong with the record */
  #write(
    { records }: RestoreJob,
    running: RunningJob,
    { index, state, record }: RecordAnswer,
  ): DamagedError | undefined {
    const { id, key } = records[index];
    try {
      if (state !== RecordState.FOUND) return recordError(id, state);
      const opened = this.#meter.measure(() => openRecord(record, { id, key }));
      running.write(index, opened.plaintext);
      opened.release();
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      return error;
    } finally {
      releaseBuffer(record); // otherwise records pile up until the collector comes round
    }
    return undefined;
  }
}

/** The state of one job. */
class RunningJob {
  readonly #job: RestoreJob;
  readonly #isStopped: () => boolean;
  readonly #uses: Use[][];
  readonly #states: FileState[];
  readonly #failures: JobFailure[] = [];
  #bytes = 0;

  constructor(job: RestoreJob, isStopped: () => boolean) {
    this.#job = job;
    this.#isStopped = isStopped;
    this.#uses = job.records.map(() => []);
    this.#states = job.files.map(({ pieces, isPart }, file) => {
      for (const piece of pieces) this.#uses[piece.record].push({ file, piece });
      return { left: pieces.length, isCreated: isPart, hasFailed: false };
    });
  }

  result(): JobResult {
    return { number: this.#job.number, failures: this.#failures, bytes: this.#bytes };
  }

  /** Files without any record: nothing, or holes only. */
  writeEmptyFiles(): void {
    this.#job.files.forEach((file, index) => {
      if (file.pieces.length === 0 && !file.isPart) {
        this.#attempt(index, () => {
          this.#create(index);
          placeFile(file);
        });
      }
    });
  }

  /** Writes everything that a record holds. */
  write(record: number, plaintext: Uint8Array): void {
    for (const { file: index, piece } of this.#uses[record]) {
      if (this.#isStopped()) return;
      const { offset, length, at } = piece;
      if (offset + length > plaintext.length) {
        this.#fail(index, { kind: "damaged", message: "its entry names bytes that are not there" });
        continue;
      }
      const bytes = plaintext.subarray(offset, offset + length);
      this.#attempt(index, () => this.#writePiece(index, { bytes, at }));
    }
  }

  /** Gives up every file that needs a record. */
  lose(record: number, error: DamagedError): void {
    for (const { file } of this.#uses[record]) {
      this.#fail(file, { kind: "damaged", message: describeError(error) });
    }
  }

  #writePiece(index: number, { bytes, at }: { bytes: Uint8Array; at: number }): void {
    const file = this.#job.files[index];
    const state = this.#states[index];
    const { umask, verify } = this.#job;
    if (file.pieces.length === 1 && bytes.length === file.size && !file.isPart) {
      writeWholeFile(file, { bytes, umask });
      if (verify) verifyPiece(file.target, { bytes, at });
    } else {
      this.#create(index);
      writePiece(file.temporary, { bytes, at });
      if (verify) verifyPiece(file.temporary, { bytes, at });
      if (--state.left === 0 && !file.isPart) placeFile(file);
    }
    this.#bytes += bytes.length;
  }

  #create(index: number): void {
    const state = this.#states[index];
    if (!state.isCreated) createFile(this.#job.files[index]);
    state.isCreated = true;
  }

  /** What one file cannot do is no reason to give up the others. */
  #attempt(index: number, act: () => void): void {
    if (this.#states[index].hasFailed) return;
    try {
      act();
    } catch (error) {
      if (isDiskFull(error)) {
        throw new HoldfastError(`Cannot go on: ${describeError(error)}`, { hint: DISK_FULL_HINT });
      }
      const kind = error instanceof DamagedError ? "damaged" : "failed";
      this.#fail(index, { kind, message: describeError(error) });
    }
  }

  #fail(index: number, { kind, message }: Pick<JobFailure, "kind" | "message">): void {
    const state = this.#states[index];
    if (state.hasFailed) return;
    state.hasFailed = true;
    this.#failures.push({ file: index, kind, message });
    const file: JobFile = this.#job.files[index];
    if (!file.isPart) discardFile(file.temporary);
  }
}
