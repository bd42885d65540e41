/**
 * Keeps the entries of the snapshot that is being made. That they cannot be kept makes the next backup slower and fails
 * nothing: it is told once, and that is all.
 */
import { describeError } from "../errors.ts";
import { printError } from "../program.ts";
import type { KeptHead, KeptSegment, KeptWriter } from "./kept_file.ts";
import type { KeptStore } from "./kept_store.ts";

export class KeptRecorder {
  #writer: KeptWriter | undefined;
  #path: string | undefined;

  constructor(store: KeptStore, { isWritable }: { isWritable: boolean }) {
    if (!isWritable) return;
    this.#try(() => ({ writer: this.#writer, path: this.#path } = store.begin()));
  }

  addSegment(segment: KeptSegment): void {
    this.#try(() => this.#writer?.addSegment(segment));
  }

  /** @returns path of the file, if there is one */
  finish(head: KeptHead): string | undefined {
    this.#try(() => this.#writer?.finish(head));
    return this.#path;
  }

  close(): void {
    this.#writer?.close();
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#writer?.close();
      this.#writer = undefined;
      this.#path = undefined;
      printError(`note: the entries cannot be kept for the next backup: ${describeError(error)}`);
    }
  }
}
