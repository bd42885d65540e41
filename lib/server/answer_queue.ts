/**
 * Answers on their way to one peer. Small ones that come together leave with one write; whoever sends waits when the
 * peer does not read, and so its next request is not read either.
 */
import { concatBytes } from "../bytes.ts";
import type { Channel } from "../channel.ts";
import { WIRE } from "../limits.ts";

export class AnswerQueue {
  readonly #channel: Channel;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #sending: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Adds a frame without waiting. For answers whose number is bounded in another way. */
  push(frame: Uint8Array): void {
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#send();
  }

  /** Adds a frame, and waits while too much is queued. @throws {UnreachableError} if the peer is gone */
  async send(frame: Uint8Array): Promise<void> {
    this.push(frame);
    while (this.#queuedBytes > WIRE.answerQueueBytesMax && !this.#failure) await this.#sending;
    this.#check();
  }

  /** Adds parts of a frame, and waits until all is written: then they may be changed. */
  async write(...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) this.push(part);
    await this.flush();
  }

  /** Waits until all is written. @throws {UnreachableError} if the peer is gone */
  async flush(): Promise<void> {
    while (this.#sending && !this.#failure) await this.#sending;
    this.#check();
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #send(): void {
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      await Promise.resolve(); // answers of the same turn leave together
      while (this.#queue.length > 0) {
        const frames = this.#queue;
        this.#queue = [];
        await this.#channel.write(frames.length === 1 ? frames[0] : concatBytes(...frames));
        for (const frame of frames) this.#queuedBytes -= frame.length;
      }
    } catch (error) {
      this.#failure ??= { error };
      this.#channel.abort("answer cannot be sent"); // whoever reads must not wait for more
    } finally {
      this.#sending = undefined;
    }
  }
}
