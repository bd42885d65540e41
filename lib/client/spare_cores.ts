/**
 * Decides how many workers there are. Where other programs want the cores as well, a further worker gets nothing more
 * done: it takes memory, and time to start, from the threads that are there. No call tells how busy a machine is; but a
 * thread that only computes can compare how much processor time that took with how long.
 */
import { cpuUsage } from "node:process";
import { SPARE_CORES } from "../limits.ts";

/** Milliseconds: of all threads of the process, and on the clock. */
interface Times {
  processorMs: number;
  elapsedMs: number;
}

/** How many cores the process has while one of its threads only computes, and waits for nothing. */
export class ComputeMeter {
  readonly #readTimes: () => Times;
  #processorMs = 0;
  #elapsedMs = 0;

  /** @param readTimes since the process began */
  constructor(readTimes = timesOfProcess) {
    this.#readTimes = readTimes;
  }

  measure<T>(compute: () => T): T {
    const before = this.#readTimes();
    try {
      return compute();
    } finally {
      const { processorMs, elapsedMs } = this.#readTimes();
      this.#processorMs += processorMs - before.processorMs;
      this.#elapsedMs += elapsedMs - before.elapsedMs;
    }
  }

  /** Cores since the last call. Undefined: nothing was computed. */
  take(): number | undefined {
    const cores = this.#elapsedMs > 0 ? this.#processorMs / this.#elapsedMs : undefined;
    this.#processorMs = this.#elapsedMs = 0;
    return cores;
  }
}

export class WorkerCount {
  readonly #fixed: number | undefined;
  readonly #max: number;
  #cores: number;

  /**
   * @param fixed so many, whatever there is of cores
   * @param max otherwise
   * @param cores until something is measured; of a process that has waited for others since it began they are too few
   */
  constructor({ fixed, max, cores = coresOfProcess() }: {
    fixed: number | undefined;
    max: number;
    cores?: number;
  }) {
    this.#fixed = fixed;
    this.#max = Math.min(max, navigator.hardwareConcurrency);
    this.#cores = cores;
  }

  /** Takes what was measured during a job. One alone says little. */
  note(cores: number | undefined): void {
    if (cores !== undefined) this.#cores += (cores - this.#cores) / SPARE_CORES.jobsNoted;
  }

  /** Whether one more is to be started. The thread that has none yet computes itself. */
  hasRoomBeside(workers: number): boolean {
    if (this.#fixed !== undefined) return workers < this.#fixed;
    return workers < this.#max && this.#cores >= Math.max(1, workers) * SPARE_CORES.shareMin;
  }
}

function coresOfProcess(): number {
  const { processorMs, elapsedMs } = timesOfProcess();
  return processorMs / elapsedMs;
}

function timesOfProcess(): Times {
  const { user, system } = cpuUsage();
  return { processorMs: (user + system) / 1000, elapsedMs: performance.now() };
}
