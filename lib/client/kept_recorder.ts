/**
 * Keeps the entries of the snapshot that is being made. That they cannot be kept makes the next backup slower and fails
 * nothing: it is told once, and that is all.
 *
 * As long as each segment is that of the last snapshot nothing is written; where all are, the entries of the last snapshot
 * are those of this one.
 */
import { describeError } from "../errors.ts";
import { printError } from "../program.ts";
import type { KeptFile, KeptHead, KeptSegment, KeptWriter } from "./kept_file.ts";
import type { KeptStore } from "./kept_store.ts";

export interface KeptRecorderOptions {
  /** Whether anything can be kept. */
  isWritable: boolean;
  /** Of the last snapshot, if the server has all of that. */
  last: KeptFile | undefined;
}

export class KeptRecorder implements Disposable {
  readonly #store: KeptStore;
  readonly #last: KeptFile | undefined;
  /** Segments so far, as long as they are those of the last snapshot. */
  #sameCount = 0;
  #writer: KeptWriter | undefined;
  #path: string | undefined;
  #isOpen: boolean;

  constructor(store: KeptStore, { isWritable, last }: KeptRecorderOptions) {
    this.#store = store;
    this.#last = last;
    this.#isOpen = isWritable;
  }

  /** @param number of the same segment in the last snapshot */
  addSegment(segment: KeptSegment, number: number | undefined): void {
    this.#try(() => {
      if (this.#writer === undefined && this.#last !== undefined && number === this.#sameCount) {
        this.#sameCount++;
      } else this.#begun().addSegment(segment);
    });
  }

  /** @returns path of the file, if there is a new one */
  finish(head: KeptHead): string | undefined {
    this.#try(() => {
      if (!this.#isAsLast(head)) this.#begun().finish(head);
    });
    return this.#path;
  }

  [Symbol.dispose](): void {
    this.#writer?.close();
  }

  #isAsLast({ sparse }: KeptHead): boolean {
    return this.#writer === undefined && this.#last?.segmentCount === this.#sameCount &&
      sparse.length === 0 && this.#last.head.sparse.length === 0;
  }

  #begun(): KeptWriter {
    if (this.#writer !== undefined) return this.#writer;
    const { writer, path } = this.#store.begin();
    this.#writer = writer;
    this.#path = path;
    let left = this.#sameCount;
    if (this.#last === undefined) return writer;
    for (const segment of this.#last.segments()) {
      if (left-- === 0) break;
      writer.addSegment(segment);
    }
    return writer;
  }

  #try(action: () => void): void {
    if (!this.#isOpen) return;
    try {
      action();
    } catch (error) {
      this.#isOpen = false;
      this.#writer?.close();
      this.#path = undefined;
      printError(`note: the entries cannot be kept for the next backup: ${describeError(error)}`);
    }
  }
}
