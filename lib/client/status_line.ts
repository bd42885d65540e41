/** One line on standard error that is written over and over. Without a terminal nothing is written. */
const ERASE_LINE = "\r\x1b[K";

export class StatusLine {
  readonly isTerminal = Deno.stderr.isTerminal();
  #isShown = false;

  show(text: string): void {
    if (!this.isTerminal) return;
    this.#isShown = true;
    this.#write(ERASE_LINE + text.slice(0, columns() - 1));
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isShown) this.#write(ERASE_LINE);
    this.#isShown = false;
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}

function columns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80; // standard error is a terminal, standard output need not be
  }
}
