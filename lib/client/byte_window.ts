/** A bound on bytes that are under way: on their way to the server, or being opened. */

interface Waiting {
  bytes: number;
  enter: () => void;
}

/** Lets bytes in as long as they fit; whoever comes first goes first. */
export class ByteWindow {
  #freeBytes: number;
  readonly #windowBytes: number;
  readonly #waiting: Waiting[] = [];

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
    this.#freeBytes = windowBytes;
  }

  /** Waits until they fit. More than the whole window goes in alone. */
  enter(bytes: number): Promise<void> | void {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#freeBytes -= bytes;
      return;
    }
    return new Promise((enter) => void this.#waiting.push({ bytes, enter }));
  }

  leave(bytes: number): void {
    this.#freeBytes += bytes;
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0].bytes)) {
      const { bytes, enter } = this.#waiting.shift()!;
      this.#freeBytes -= bytes;
      enter();
    }
  }

  #fits(bytes: number): boolean {
    return bytes <= this.#freeBytes || this.#freeBytes === this.#windowBytes;
  }
}
