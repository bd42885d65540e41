/**
 * One connection of protocol version 4 (docs/protocol_v4.md, "Frames"): requests go out as they come, answers find
 * their request by its id. It knows nothing of logins and does not reconnect: when it ends, its owner takes the
 * requests that are unanswered and sends them elsewhere.
 */
import { joinSmall, TruncatedError } from "../bytes.ts";
import { Channel, type Connection } from "../channel.ts";
import { HoldfastError, ProtocolError, UnreachableError } from "../errors.ts";
import { VAULT_CLIENT, WIRE } from "../limits.ts";
import {
  AnswerCode,
  decodeError,
  decodeFrameHeader,
  decodeStored,
  encodeFrameHeader,
  ErrorCode,
  FLAG_MORE,
  FRAME_HEADER_BYTES,
  RequestCode,
} from "../protocol_v4.ts";
import { answerError } from "./answer_error.ts";

const REQUEST_ID_MAX = 0xffffffff;

/** An answer other than ERROR. */
export interface Answer {
  code: number;
  /** Whether further frames answer the same request. */
  hasMore: boolean;
  payload: Uint8Array<ArrayBuffer>;
}

/** A request, until it is answered. It can be sent again on another connection. */
export interface WireRequest {
  code: RequestCode;
  /** For messages: what cannot be done if it fails. */
  purpose: string;
  /** The payload in parts, so that records are not copied. Undefined: it need not be sent any more. */
  encode(): Uint8Array[] | undefined;
  /** Longest silence while it waits, in milliseconds; undefined for the usual one. */
  silenceMs?: number;
  /**
   * Takes one answer. The connection is not read while this is under way.
   *
   * @throws {RangeError} or {@link TruncatedError} if it is malformed
   */
  take(answer: Answer): void | Promise<void>;
  /** Told instead of a last answer. */
  fail(error: unknown): void;
}

export interface WireOptions {
  /** Longest silence while an answer is owed, in milliseconds. */
  answerMs: number;
}

export class Wire {
  /** When it ends, with what ended it. */
  readonly ended: Promise<unknown>;
  /** The server's bound on silence, in milliseconds: PING before it. */
  idleMs = Infinity;
  readonly #channel: Channel;
  readonly #answerMs: number;
  readonly #pending = new Map<number, WireRequest>();
  readonly #resolveEnded: (error: unknown) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #isEnded = false;
  #isTaking = false;
  #lastId = 0;
  #sentAt = performance.now();
  #heardAt = performance.now();
  #unwritten: Uint8Array[] = [];
  #isWriting = false;

  constructor(conn: Connection, { answerMs }: WireOptions) {
    this.#channel = new Channel(conn);
    this.#answerMs = answerMs;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#timer = setInterval(() => this.#tick(), VAULT_CLIENT.tickMs);
    this.#timer.unref();
    this.#readAnswers().catch((error) => this.#end(error));
  }

  /** Sends a request. Whatever goes wrong is told to the request, or left for {@link takePending}. */
  send(request: WireRequest): void {
    const parts = request.encode();
    if (parts === undefined) return;
    const requestId = this.#drawId();
    this.#pending.set(requestId, request);
    if (this.#isEnded) return;
    if (this.#pending.size === 1) this.#expectAnswer();
    this.#sentAt = performance.now();
    const payloadBytes = parts.reduce((size, part) => size + part.length, 0);
    const header = encodeFrameHeader({ flags: 0, code: request.code, requestId, payloadBytes });
    this.#unwritten.push(header, ...parts);
    if (!this.#isWriting) this.#write().catch((error) => this.#end(error));
  }

  /** The requests that are unanswered, oldest first; they are no longer this connection's. */
  takePending(): WireRequest[] {
    const requests = [...this.#pending.values()];
    this.#pending.clear();
    return requests;
  }

  close(): void {
    this.#end(new UnreachableError("Connection closed"));
  }

  /** Writes what is to be written, and what comes meanwhile. Requests of one turn leave together. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    await Promise.resolve();
    while (this.#unwritten.length > 0) {
      const pieces = this.#unwritten;
      this.#unwritten = [];
      for (const bytes of joinSmall(pieces, WIRE.joinedWriteBytes)) {
        await this.#channel.write(bytes);
      }
    }
    this.#isWriting = false;
  }

  async #readAnswers(): Promise<void> {
    for (;;) {
      const header = await this.#channel.read(FRAME_HEADER_BYTES);
      if (header === null) throw new UnreachableError("Connection closed by the server");
      const frame = decoded(() => decodeFrameHeader(header));
      const payload = await this.#channel.readExactly(frame.payloadBytes);
      await this.#dispatch(frame, payload);
      this.#expectAnswer();
    }
  }

  async #dispatch(
    { code, requestId, flags }: { code: number; requestId: number; flags: number },
    payload: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    if (code === AnswerCode.ERROR) return this.#takeError(requestId, payload);
    if (code === AnswerCode.STORED) {
      for (const id of decoded(() => decodeStored(payload))) {
        await this.#deliver(id, { code, hasMore: false, payload: new Uint8Array(0) });
      }
      return;
    }
    await this.#deliver(requestId, { code, hasMore: (flags & FLAG_MORE) !== 0, payload });
  }

  async #deliver(requestId: number, answer: Answer): Promise<void> {
    const request = this.#pending.get(requestId);
    if (request === undefined) {
      throw new ProtocolError(`Cannot read answer ${answer.code}: no such request is open`);
    }
    this.#isTaking = true;
    try {
      await request.take(answer);
      if (!answer.hasMore) this.#pending.delete(requestId);
    } catch (cause) {
      this.#pending.delete(requestId);
      const error = protocolError(answer.code, cause);
      request.fail(error);
      throw error;
    } finally {
      this.#isTaking = false;
    }
  }

  #takeError(requestId: number, payload: Uint8Array): void {
    const message = decoded(() => decodeError(payload));
    const request = this.#pending.get(requestId);
    const error = answerError(message, request?.purpose ?? "talk to the server");
    this.#pending.delete(requestId);
    request?.fail(error);
    // The server ends the connection after it; what else is open would fail the same way.
    if (request === undefined || message.code === ErrorCode.PROTOCOL) throw error;
  }

  #end(error: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearInterval(this.#timer);
    this.#channel.close();
    this.#resolveEnded(error);
  }

  #tick(): void {
    const now = performance.now();
    if (this.#pending.size === 0) {
      if (now - this.#sentAt > this.idleMs / 3) this.send(pingRequest());
    } else if (!this.#isTaking && this.#isOverdue(now)) {
      this.#channel.abort("Cannot get an answer: the server has fallen silent");
    }
  }

  #expectAnswer(): void {
    this.#heardAt = performance.now();
    this.#channel.expect({ totalMs: Infinity, silenceMs: this.#answerMs });
  }

  /** Whether nothing came for longer than any of the open requests may take. */
  #isOverdue(now: number): boolean {
    if (!this.#channel.isOverdue(now)) return false;
    let silenceMs = this.#answerMs;
    for (const request of this.#pending.values()) {
      silenceMs = Math.max(silenceMs, request.silenceMs ?? 0);
    }
    return now - this.#heardAt > silenceMs;
  }

  #drawId(): number {
    do this.#lastId = this.#lastId === REQUEST_ID_MAX ? 1 : this.#lastId + 1; while (
      this.#pending.has(this.#lastId)
    );
    return this.#lastId;
  }
}

/** An answer was malformed, or of a kind that the request cannot have. */
export function protocolError(code: number, cause: unknown): unknown {
  if (cause instanceof HoldfastError) return cause;
  if (!(cause instanceof RangeError || cause instanceof TruncatedError)) return cause;
  return new ProtocolError(`Cannot read answer ${code}: it is malformed`, { cause });
}

function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (!(cause instanceof RangeError || cause instanceof TruncatedError)) throw cause;
    throw new ProtocolError("Cannot read answer: it is malformed", { cause });
  }
}

/** It goes for nothing but the server's clock. */
function pingRequest(): WireRequest {
  const nothing = () => {};
  return {
    code: RequestCode.PING,
    purpose: "keep the connection",
    encode: () => [],
    take: nothing,
    fail: nothing,
  };
}
