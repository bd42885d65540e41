/**
 * Gives jobs to workers, which are started when there are full jobs for them, and cores; a few jobs of each are under way.
 * Where little has changed the main thread does it all: that takes less time than a worker needs to start. So it does
 * where other programs have the cores.
 */
import { BACKUP } from "../limits.ts";
import type { FromWorker, Job, JobResult, SentCount, ToWorker, WorkerSetup } from "./backup_job.ts";
import type { JobRunner } from "./job_runner.ts";
import type { WorkerCount } from "./spare_cores.ts";
import { decodeWorkerError } from "./worker_error.ts";

interface Hand {
  worker: Worker;
  jobs: Map<number, PromiseWithResolvers<JobResult>>;
  draining?: PromiseWithResolvers<void> | undefined;
  sent: SentCount;
}

export interface JobPoolOptions {
  setup: WorkerSetup;
  /** Of the main thread. */
  runner: JobRunner;
  workers: WorkerCount;
}

export class JobPool {
  readonly #options: JobPoolOptions;
  readonly #hands: Hand[] = [];
  #number = 0;
  /** Jobs under way in the main thread. */
  #ownJobs = 0;
  #failure: { error: unknown } | undefined;
  #wakers: (() => void)[] = [];

  constructor(options: JobPoolOptions) {
    this.#options = options;
  }

  /** What the workers have put, as of the last {@link drain}. */
  get sent(): SentCount[] {
    return this.#hands.map(({ sent }) => sent);
  }

  /** Waits until a job can be taken, and takes it. @returns what becomes of it */
  async start(job: Job): Promise<{ result: Promise<JobResult> }> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const hand = this.#freeHand();
      if (hand !== undefined) return { result: this.#give(hand, job) };
      if (this.#hands.length === 0 && this.#ownJobs < BACKUP.jobsPerWorker) {
        return { result: this.#runHere(job) };
      }
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
  }

  /** A job that is not full: if no worker was needed so far, none is. */
  async startPart(job: Job): Promise<{ result: Promise<JobResult> }> {
    if (this.#hands.length > 0) return await this.start(job);
    return { result: this.#runHere(job) };
  }

  /** Waits until all that the workers have sent is durable. */
  async drain(): Promise<void> {
    await Promise.all(this.#hands.map((hand) => {
      if (this.#failure !== undefined) throw this.#failure.error;
      hand.draining = Promise.withResolvers<void>();
      tell(hand, { type: "drain" });
      return hand.draining.promise;
    }));
  }

  /** Ends the workers, whatever they are at. */
  close(): void {
    for (const { worker } of this.#hands) worker.terminate();
    this.#fail(new Error("Backup ended"));
  }

  /** The one with the fewest jobs; a new one before any has two, if it would have a core. */
  #freeHand(): Hand | undefined {
    const [least] = this.#hands.toSorted((a, b) => a.jobs.size - b.jobs.size);
    if (least?.jobs.size === 0) return least;
    if (this.#options.workers.hasRoomBeside(this.#hands.length)) return this.#startHand();
    return least !== undefined && least.jobs.size < BACKUP.jobsPerWorker ? least : undefined;
  }

  #runHere(job: Job): Promise<JobResult> {
    const result = this.#run(job);
    result.catch(() => {}); // told to whoever waits for it
    return result;
  }

  async #run(job: Job): Promise<JobResult> {
    this.#ownJobs++;
    try {
      const result = await this.#options.runner.run(job);
      this.#options.workers.note(result.cores);
      return result;
    } finally {
      this.#ownJobs--;
      this.#wake();
    }
  }

  #startHand(): Hand {
    const worker = new Worker(new URL("./backup_worker.ts", import.meta.url), { type: "module" });
    const hand: Hand = { worker, jobs: new Map(), sent: { bytes: 0, records: 0 } };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#hear(hand, data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`Worker failed: ${event.message}`));
    };
    this.#hands.push(hand);
    tell(hand, { type: "setup", setup: this.#options.setup });
    return hand;
  }

  #give(hand: Hand, job: Job): Promise<JobResult> {
    const number = this.#number++;
    const result = Promise.withResolvers<JobResult>();
    result.promise.catch(() => {}); // told to whoever waits for it
    hand.jobs.set(number, result);
    const transfer = job.kind === "piece" ? [job.buffer.buffer] : [];
    tell(hand, { type: "job", number, job }, transfer);
    return result.promise;
  }

  #hear(hand: Hand, message: FromWorker): void {
    if (message.type === "failed") return this.#fail(decodeWorkerError(message.fault));
    if (message.type === "drained") {
      hand.sent = message.sent;
      hand.draining?.resolve();
      return;
    }
    this.#options.workers.note(message.result.cores);
    hand.jobs.get(message.number)?.resolve(message.result);
    hand.jobs.delete(message.number);
    this.#wake();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    for (const hand of this.#hands) {
      for (const { reject } of hand.jobs.values()) reject(error);
      hand.draining?.reject(error);
    }
    this.#wake();
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}

function tell(hand: Hand, message: ToWorker, transfer: Transferable[] = []): void {
  hand.worker.postMessage(message, transfer);
}
