/** Progress on a terminal: one line that is written over and over. Without a terminal nothing is written. */
import { formatByteSize } from "../flags.ts";

const REDRAW_MS = 100;
const ERASE_LINE = "\r\x1b[K";

export class Progress {
  readonly #label: string;
  readonly #totalBytes: number;
  readonly #isTerminal: boolean;
  readonly #startedAt = performance.now();
  #doneBytes = 0;
  #drawnAt = 0;

  /** @param totalBytes 0 if nobody knows */
  constructor(label: string, totalBytes: number) {
    this.#label = label;
    this.#totalBytes = totalBytes;
    this.#isTerminal = Deno.stderr.isTerminal();
  }

  /** Tells how much is done. */
  set(doneBytes: number): void {
    this.#doneBytes = doneBytes;
    const now = performance.now();
    if (!this.#isTerminal || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#write(ERASE_LINE + this.#describe(now));
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isTerminal && this.#drawnAt > 0) this.#write(ERASE_LINE);
  }

  #describe(now: number): string {
    const seconds = (now - this.#startedAt) / 1000;
    const rate = this.#doneBytes / Math.max(seconds, 0.001);
    if (this.#totalBytes === 0) {
      return `${this.#label}  ${formatByteSize(this.#doneBytes)}  ${formatByteSize(rate)}/s`;
    }
    const percent = Math.floor(this.#doneBytes / Math.max(this.#totalBytes, 1) * 100);
    const left = Math.ceil((this.#totalBytes - this.#doneBytes) / Math.max(rate, 1));
    return `${this.#label}  ${percent}%  ${formatByteSize(this.#doneBytes)} of ` +
      `${formatByteSize(this.#totalBytes)}  ${formatByteSize(rate)}/s  ${left} s left`;
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}
