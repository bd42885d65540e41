/**
 * Those who do the jobs of a restore: workers, each with a connection of its own, or for a small one, and where other
 * programs have the cores, the main thread. A job waits until somebody has room for it; so no more jobs are in memory than
 * are being done.
 */
import { HoldfastError } from "../errors.ts";
import { RESTORE } from "../limits.ts";
import { within } from "../time.ts";
import type { JobResult, RestoreJob } from "./restore_job.ts";
import { RestoreWriter } from "./restore_writer.ts";
import type { FromWorker, ToWorker } from "./restore_worker.ts";
import type { SessionOptions, VaultClientSession } from "./session_v4.ts";
import { WorkerCount } from "./spare_cores.ts";
import { decodeWorkerError } from "./worker_error.ts";

/** Does several jobs at a time. */
interface Lane {
  run(job: RestoreJob): Promise<JobResult>;
  stop(): Promise<void>;
}

interface BusyLane {
  lane: Lane;
  jobs: number;
}

export interface LanesOptions {
  options: SessionOptions;
  session: VaultClientSession;
  /** Bytes to restore, as far as is known. */
  bytes: number;
  /** Undefined: as many as have a core. */
  workers?: number | undefined;
  onResult: (job: RestoreJob, result: JobResult) => void;
}

export class RestoreLanes {
  readonly #options: LanesOptions;
  readonly #workers: WorkerCount;
  readonly #lanes: BusyLane[] = [];
  readonly #failed: RestoreJob[] = [];
  readonly #running = new Map<RestoreJob, Promise<void>>();
  #failure: { error: unknown } | undefined;
  #isStopped = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#workers = new WorkerCount({ fixed: options.workers, max: RESTORE.workersMax });
  }

  /** Jobs that were begun and are not done: their temporary files may be there. */
  get unfinished(): RestoreJob[] {
    return [...this.#running.keys(), ...this.#failed];
  }

  /** Hands a job over as soon as somebody has room. @throws whatever has ended another job */
  async submit(job: RestoreJob): Promise<void> {
    let busy = this.#findLane();
    while (busy === undefined) {
      await Promise.race(this.#running.values());
      this.#checkFailure();
      busy = this.#findLane();
    }
    this.#start(job, busy);
  }

  /** Waits until all jobs are done. */
  async finish(): Promise<void> {
    await Promise.all(this.#running.values());
    this.#checkFailure();
  }

  /** Has everybody leave off where they are. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#lanes.map(({ lane }) => lane.stop()));
  }

  #start(job: RestoreJob, busy: BusyLane): void {
    busy.jobs++;
    const running = busy.lane.run(job).then(
      (result) => {
        this.#workers.note(result.cores);
        if (!this.#isStopped) this.#options.onResult(job, result);
      },
      (error) => {
        this.#failure ??= { error };
        this.#failed.push(job);
      },
    ).finally(() => {
      busy.jobs--;
      this.#running.delete(job);
    });
    this.#running.set(job, running);
  }

  #findLane(): BusyLane | undefined {
    const free = this.#lanes.find(({ jobs }) => jobs < RESTORE.jobsPerWorker);
    if (free !== undefined) return free;
    const isWorker = this.#options.bytes > RESTORE.inlineBytesMax &&
      this.#workers.hasRoomBeside(this.#lanes.length);
    if (!isWorker && this.#lanes.length > 0) return undefined;
    const lane = isWorker ? new WorkerLane(this.#options.options) : this.#openMainLane();
    const busy = { lane, jobs: 0 };
    this.#lanes.push(busy);
    return busy;
  }

  #openMainLane(): Lane {
    const writer = new RestoreWriter(this.#options.session);
    return {
      run: (job) => writer.run(job),
      stop: () => Promise.resolve(writer.stop()),
    };
  }

  #checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

class WorkerLane implements Lane {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, PromiseWithResolvers<JobResult>>();
  readonly #stopped = Promise.withResolvers<void>();
  #failure: Error | undefined;

  constructor(options: SessionOptions) {
    this.#worker = new Worker(new URL("./restore_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new HoldfastError(`Cannot restore: ${event.message}`));
    };
    this.#send({ type: "start", options });
  }

  run(job: RestoreJob): Promise<JobResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const done = Promise.withResolvers<JobResult>();
    this.#jobs.set(job.number, done);
    this.#send({ type: "job", job });
    return done.promise;
  }

  async stop(): Promise<void> {
    this.#send({ type: "stop" });
    await within(this.#stopped.promise, RESTORE.stopMs, undefined);
    this.#worker.terminate();
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #take(message: FromWorker): void {
    if (message.type === "result") {
      this.#jobs.get(message.result.number)?.resolve(message.result);
      this.#jobs.delete(message.result.number);
    } else if (message.type === "stopped") this.#stopped.resolve();
    else this.#fail(decodeWorkerError(message.error));
  }

  #fail(error: Error): void {
    this.#failure = error;
    for (const { reject } of this.#jobs.values()) reject(error);
    this.#jobs.clear();
    this.#stopped.resolve();
  }
}
