/**
 * Answers on their way to one peer. Whoever sends waits when the peer does not read, and so its next request is not read
 * either. Small ones leave together: the system keeps a second small write back until the peer has confirmed the first,
 * and a peer that has nothing to say takes 40 ms for that.
 */
import { joinSmall } from "../bytes.ts";
import type { Channel } from "../channel.ts";
import { WIRE } from "../limits.ts";

export class AnswerQueue {
  readonly #channel: Channel;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #sending: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;
  #isGathering = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Whether something is not written yet. */
  get isPending(): boolean {
    return this.#queue.length > 0 || this.#sending !== undefined;
  }

  /** Adds a frame without waiting. For answers whose number is bounded in another way. */
  push(frame: Uint8Array): void {
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    if (this.#sending !== undefined) return; // it takes this one too
    if (!this.#isGathering || this.#queuedBytes > WIRE.joinedWriteBytes) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), WIRE.gatherMs);
  }

  /** From now on more answers may come at once: they leave together, after some milliseconds at the latest. */
  gather(): void {
    this.#isGathering = true;
  }

  /** Nothing more comes for now: what has gathered leaves. */
  release(): void {
    this.#isGathering = false;
    if (this.#queue.length > 0) this.#send();
  }

  /** Adds a frame, and waits while too much is queued. @throws {UnreachableError} if the peer is gone */
  async send(frame: Uint8Array): Promise<void> {
    this.push(frame);
    while (this.#queuedBytes > WIRE.answerQueueBytesMax && !this.#failure) await this.flush();
    this.#check();
  }

  /** Adds parts of a frame, and waits until all is written: then they may be changed. */
  async write(...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) this.push(part);
    await this.flush();
  }

  /** Waits until all is written. @throws {UnreachableError} if the peer is gone */
  async flush(): Promise<void> {
    if (this.#queue.length > 0) this.#send();
    while (this.#sending && !this.#failure) await this.#sending;
    this.#check();
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      await Promise.resolve(); // answers of the same turn leave together
      while (this.#queue.length > 0) {
        const frames = this.#queue;
        this.#queue = [];
        for (const bytes of joinSmall(frames, WIRE.joinedWriteBytes)) {
          await this.#channel.write(bytes);
          this.#queuedBytes -= bytes.length;
        }
      }
    } catch (error) {
      this.#failure ??= { error };
      this.#channel.abort("answer cannot be sent"); // whoever reads must not wait for more
    } finally {
      this.#sending = undefined;
    }
  }
}
