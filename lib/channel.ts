/**
 * A connection that is read by fields instead of by what the network happens to deliver, and that gives up on a peer
 * who keeps it waiting. Deadlines are kept as a number that the owner of many channels looks at from time to time
 * ({@link Channel.isOverdue}): no timer per read.
 */
import { within } from "./time.ts";
import { UnreachableError } from "./errors.ts";

/** What is needed of `Deno.Conn`; tests bring their own. */
export interface Connection {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
}

/** How long the peer may take from now on, in milliseconds. */
export interface Patience {
  /** For all that is expected next. */
  totalMs: number;
  /** Between two deliveries. */
  silenceMs: number;
  /** For taking what is written, between two steps of one write. Without it writing counts as any delivery. */
  writeMs?: number;
}

const BUFFER_BYTES = 16 * 1024;

export class Channel {
  readonly #conn: Connection;
  /** What this and other channels count into. */
  readonly #traffic: { receivedBytes: number; sentBytes: number } | undefined;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  #filling: Promise<boolean> | undefined;
  #patience: Patience = { totalMs: Infinity, silenceMs: Infinity };
  #totalDeadline = Infinity;
  #silenceDeadline = Infinity;
  #writeDeadline = Infinity;
  /** Reads and writes that wait for the peer. Only meanwhile is it the peer who takes time. */
  #waiting = 0;
  #abortReason: string | undefined;

  constructor(conn: Connection, traffic?: { receivedBytes: number; sentBytes: number }) {
    this.#conn = conn;
    this.#traffic = traffic;
  }

  /** Sets how long the peer may take from now on. */
  expect(patience: Patience): void {
    this.#patience = patience;
    const now = performance.now();
    this.#totalDeadline = now + patience.totalMs;
    this.#silenceDeadline = now + patience.silenceMs;
  }

  /** Whether we wait for the peer and it has used up its time; `now` is of `performance.now()`. */
  isOverdue(now: number): boolean {
    if (this.#waiting === 0) return false;
    return now > this.#totalDeadline || now > this.#silenceDeadline || now > this.#writeDeadline;
  }

  /** Whether something that came has not been read. */
  get hasBuffered(): boolean {
    return this.#start < this.#end;
  }

  /** Why the channel was aborted, if it was. */
  get abortReason(): string | undefined {
    return this.#abortReason;
  }

  /** Closes the connection under whoever waits for it: reads and writes then throw. */
  abort(reason: string): void {
    this.#abortReason ??= reason;
    this.close();
  }

  close(): void {
    try {
      this.#conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already
    }
  }

  /**
   * The next `size` bytes, or null if the peer closed before the first of them.
   *
   * @throws {UnreachableError} if the connection ends within them
   */
  async read(size: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const bytes = new Uint8Array(size);
    const filled = await this.readInto(bytes);
    if (filled === size) return bytes;
    if (filled === 0) return null;
    throw new UnreachableError(`Cannot read message: connection closed after ${filled} bytes`);
  }

  /** The next `size` bytes. @throws {UnreachableError} if the connection ends before their end */
  async readExactly(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.read(size);
    if (bytes === null) throw new UnreachableError("Cannot read message: connection closed");
    return bytes;
  }

  /** Fills the target. Returns its size, or fewer if the peer closed before. */
  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#start === this.#end) {
        const wanted = target.length - filled;
        if (!this.#filling && wanted >= BUFFER_BYTES) {
          filled += await this.#readLarge(target.subarray(filled));
          if (filled < target.length) break;
          continue;
        }
        if (!(await this.#fill())) break;
      }
      filled += this.#takeBuffered(target.subarray(filled));
    }
    return filled;
  }

  /** Reads and forgets. Returns false if the peer closed before `size` bytes. */
  async skip(size: number): Promise<boolean> {
    for (let left = size; left > 0;) {
      if (this.#start === this.#end && !(await this.#fill())) return false;
      const count = Math.min(left, this.#end - this.#start);
      this.#start += count;
      left -= count;
    }
    return true;
  }

  /**
   * Whether something is there to be read: true also at the end of the connection, false when `maxMs` milliseconds
   * passed without anything.
   */
  async waitForData(maxMs: number): Promise<boolean> {
    if (this.#start < this.#end) return true;
    return await within(this.#fill().then(() => true), maxMs, false);
  }

  /** Sends all bytes, with one write as far as the system takes them. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < bytes.length;) {
        this.#writeDeadline = performance.now() + (this.#patience.writeMs ?? Infinity);
        const rest = written === 0 ? bytes : bytes.subarray(written);
        const count = await this.#waitForPeer(() => this.#conn.write(rest));
        written += count;
        if (this.#traffic) this.#traffic.sentBytes += count;
      }
    } catch (cause) {
      throw this.#connectionLost(cause);
    } finally {
      this.#writeDeadline = Infinity;
    }
  }

  /**
   * Ends the connection so that the peer still gets what was written: a socket that is closed with unread data in it
   * is reset, and the last answer with it.
   */
  async finish({ maxBytes, maxMs }: { maxBytes: number; maxMs: number }): Promise<void> {
    try {
      await this.#conn.closeWrite();
      this.expect({ totalMs: maxMs, silenceMs: maxMs });
      await this.skip(maxBytes);
    } catch {
      // The peer is gone already, which is what this is about.
    }
    this.close();
  }

  /**
   * Fills a target without a copy; returns its size, or fewer at the end of the connection. TLS gives 16 KiB at a time,
   * so there are many reads, and no more is done for each than has to be.
   */
  async #readLarge(target: Uint8Array): Promise<number> {
    let filled = 0;
    this.#silenceDeadline = performance.now() + this.#patience.silenceMs;
    this.#waiting++;
    try {
      while (filled < target.length) {
        const count = await this.#conn.read(target.subarray(filled));
        if (count === null) break;
        filled += count;
        this.#silenceDeadline = performance.now() + this.#patience.silenceMs;
        if (this.#traffic) this.#traffic.receivedBytes += count;
      }
    } catch (cause) {
      if (!(cause instanceof Deno.errors.UnexpectedEof)) throw this.#connectionLost(cause);
    } finally {
      this.#waiting--;
    }
    return filled;
  }

  /** Reads once into the empty buffer; false at the end of the connection. */
  #fill(): Promise<boolean> {
    // A read that was begun by waitForData() cannot be called back: the next reader waits for it.
    this.#filling ??= this.#readConn(this.#buffer).then((count) => {
      this.#start = 0;
      this.#end = count ?? 0;
      return count !== null;
    }).finally(() => this.#filling = undefined);
    return this.#filling;
  }

  async #readConn(target: Uint8Array): Promise<number | null> {
    try {
      const count = await this.#waitForPeer(() => this.#conn.read(target));
      if (this.#traffic) this.#traffic.receivedBytes += count ?? 0;
      return count;
    } catch (cause) {
      // TLS without its closing message, as when a process just ends. Whether a message is complete is
      // told by its length, never by how the connection ends.
      if (cause instanceof Deno.errors.UnexpectedEof) return null;
      throw this.#connectionLost(cause);
    }
  }

  /** A read or write of the connection; the peer's silence counts from its begin. */
  async #waitForPeer<T>(work: () => Promise<T>): Promise<T> {
    this.#silenceDeadline = performance.now() + this.#patience.silenceMs;
    this.#waiting++;
    try {
      return await work();
    } finally {
      this.#waiting--;
      this.#silenceDeadline = performance.now() + this.#patience.silenceMs;
    }
  }

  #takeBuffered(target: Uint8Array): number {
    const count = Math.min(target.length, this.#end - this.#start);
    target.set(this.#buffer.subarray(this.#start, this.#start + count));
    this.#start += count;
    return count;
  }

  #connectionLost(cause: unknown): UnreachableError {
    if (this.#abortReason !== undefined) return new UnreachableError(this.#abortReason);
    return new UnreachableError("Connection lost", { cause });
  }
}
