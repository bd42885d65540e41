/**
 * Entries in order on their way from the walk to the tree: some wait for contents that are being read, and those behind
 * them wait too. Bounded: when it is full, the walk waits.
 */
import { BACKUP } from "../limits.ts";
import type { Entry } from "../vault/entry.ts";
import type { FileOutcome } from "./backup_job.ts";

export interface WaitingEntry {
  entry: Entry;
  /** There when its contents are read. */
  outcome?: Promise<FileOutcome>;
}

export class EntryQueue {
  #entries: WaitingEntry[] = [];
  #isEnded = false;
  #failure: { error: unknown } | undefined;
  #wakers: (() => void)[] = [];

  get isFull(): boolean {
    return this.#entries.length >= BACKUP.waitingEntriesMax;
  }

  push(entry: WaitingEntry): void {
    this.#check();
    this.#entries.push(entry);
    if (this.#entries.length === 1) this.#wake();
  }

  async room(): Promise<void> {
    while (this.isFull) await this.#sleep();
    this.#check();
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
  async take(): Promise<WaitingEntry[]> {
    while (this.#entries.length === 0 && !this.#isEnded) await this.#sleep();
    this.#check();
    const entries = this.#entries;
    this.#entries = [];
    this.#wake();
    return entries;
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
