/** Why a request of version 4 is refused, as the client will be told (docs/protocol_v4.md, "Errors"). */
import { TruncatedError } from "../bytes.ts";
import { DamagedError, describeError, RefusedError } from "../errors.ts";
import { JournalError } from "../journal.ts";
import { ErrorCode } from "../protocol_v4.ts";

export class RequestError extends RefusedError {
  override name = "RequestError";
  readonly code: ErrorCode;

  /** The message is sent to the client. */
  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Decodes what a client sent.
 *
 * @throws {RequestError} `PROTOCOL` if it is malformed
 */
export function decodeRequest<T>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T): T {
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof TruncatedError || cause instanceof RangeError)) throw cause;
    const message = `Cannot understand request: ${describeError(cause)}`;
    throw new RequestError(ErrorCode.PROTOCOL, message, cause);
  }
}

/** Runs work on a statement; what the journal has against it becomes an answer. */
export async function judgeStatement<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof JournalError)) throw cause;
    const code = cause.fault === "stale" ? ErrorCode.STALE_EVENT : ErrorCode.BAD_EVENT;
    throw new RequestError(code, cause.message, cause);
  }
}

/** SQLite's own name for it is SQLITE_FULL. */
const SQLITE_FULL = 13;

/** What the client is told about an error. */
export function errorAnswer(error: unknown): { code: ErrorCode; text: string } {
  if (error instanceof RequestError) return { code: error.code, text: error.message };
  if (isDiskFull(error)) {
    return { code: ErrorCode.NO_SPACE, text: "Cannot store: the server's disk is full" };
  }
  const text = error instanceof DamagedError
    ? "Cannot serve vault: the server's copy is damaged; its log says more"
    : "Cannot serve request: the server failed; its log says why";
  return { code: ErrorCode.INTERNAL, text };
}

function isDiskFull(error: unknown): boolean {
  const { code, errcode } = (error ?? {}) as { code?: string; errcode?: number };
  return code === "ENOSPC" || errcode === SQLITE_FULL;
}
