/**
 * Entries in order on their way from the walk to the tree: some wait for contents that are being read, and those behind
 * them wait too. Bounded: when it is full, the walk waits.
 */
import { BACKUP } from "../limits.ts";
import type { Entry } from "../vault/entry.ts";
import type { FileReading, JobOutcomes } from "./job_outcomes.ts";
import type { UnchangedRun } from "./unchanged_runs.ts";

export interface WaitingEntry {
  entry: Entry;
  /** Where its contents come from. */
  reading?: FileReading;
}

/** Entries of the last snapshot that are taken over. */
export interface WaitingRun {
  run: UnchangedRun;
}

export type Waiting = WaitingEntry | WaitingRun;

export class EntryQueue {
  #waiting: Waiting[] = [];
  /** Entries in it, those of runs too. */
  #size = 0;
  #isEnded = false;
  #failure: { error: unknown } | undefined;
  #wakers: (() => void)[] = [];
  /** The tree waits for an entry's contents. */
  #isAwaiting = false;

  get isFull(): boolean {
    return this.#size >= BACKUP.waitingEntriesMax;
  }

  /**
   * Whether the tree should take what is there first: nothing keeps it from that. Otherwise thousands of entries
   * gather, outlive the engine's quick collection of young objects, and cost a fifth of an unchanged backup's time.
   */
  get isAhead(): boolean {
    return this.#size >= BACKUP.entriesAheadMax && !this.#isAwaiting;
  }

  push(waiting: Waiting): void {
    this.#check();
    this.#waiting.push(waiting);
    this.#size += "run" in waiting ? waiting.run.to - waiting.run.from : 1;
    if (this.#waiting.length === 1) this.#wake();
  }

  async room(): Promise<void> {
    while (this.isFull) await this.#sleep();
    this.#check();
  }

  async caughtUp(): Promise<void> {
    while (this.isAhead) await this.#sleep();
    this.#check();
  }

  /** Waits until a job is done: the walk goes ahead meanwhile. */
  async until({ done }: JobOutcomes): Promise<void> {
    this.#isAwaiting = true;
    this.#wake();
    try {
      await done;
    } finally {
      this.#isAwaiting = false;
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** Both sides stop with this error. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  /** All that is there, in order; empty at the end. */
  async take(): Promise<Waiting[]> {
    while (this.#waiting.length === 0 && !this.#isEnded) await this.#sleep();
    this.#check();
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#size = 0;
    this.#wake();
    return waiting;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #sleep(): Promise<void> {
    this.#check();
    await new Promise<void>((resolve) => this.#wakers.push(resolve));
    this.#check();
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}
