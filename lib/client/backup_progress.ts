/** What people see of a backup: a line on a terminal while it runs, and a summary. */
import { formatByteSize } from "../flags.ts";
import type { BackupTally } from "./backup_tally.ts";
import { StatusLine } from "./status_line.ts";

const REDRAW_MS = 200;
/** Before so many seconds no end is foretold. */
const SECONDS_MIN = 2;

/** What the last snapshot had: the best guess of what comes. */
export interface Expected {
  entries: number;
  bytes: number;
}

export class BackupProgress implements Disposable {
  readonly #line = new StatusLine();
  readonly #startedAt = performance.now();
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #tally: BackupTally | undefined;
  #expected: Expected | undefined;

  constructor() {
    if (this.#line.isTerminal) this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  /** Shows another tally from now on. */
  follow(tally: BackupTally, expected: Expected | undefined): void {
    this.#tally = tally;
    this.#expected = expected;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line.clear();
  }

  #draw(): void {
    if (this.#tally === undefined) return;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#line.show(describeProgress(this.#tally, { seconds, expected: this.#expected }));
  }
}

/** One line. How long it still takes is told when the walk is done, or when there was a snapshot before. */
export function describeProgress(
  tally: BackupTally,
  { seconds, expected }: { seconds: number; expected: Expected | undefined },
): string {
  const { files, doneBytes, bytesRead } = tally;
  const rate = bytesRead / Math.max(seconds, 0.001);
  const parts = [
    `${files.toLocaleString("en")} files`,
    `${formatByteSize(doneBytes)} done`,
    `${formatByteSize(bytesRead)} read, ${formatByteSize(rate)}/s`,
  ];
  const left = estimateSecondsLeft(tally, { seconds, expected });
  if (left !== undefined) parts.push(`about ${formatSeconds(left)} left`);
  return parts.join("  ");
}

function estimateSecondsLeft(
  { isScanned, scannedBytes, doneBytes }: BackupTally,
  { seconds, expected }: { seconds: number; expected: Expected | undefined },
): number | undefined {
  const totalBytes = isScanned ? scannedBytes : Math.max(expected?.bytes ?? 0, scannedBytes);
  const isKnown = isScanned || expected !== undefined;
  if (!isKnown || seconds < SECONDS_MIN || doneBytes === 0) return undefined;
  return (totalBytes - doneBytes) / doneBytes * seconds;
}

/** `45 s`, `3 min`, `2 h 10 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
