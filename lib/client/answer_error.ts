/**
 * What a client makes of ERROR answers (docs/protocol_v4.md, "Errors"): each code becomes the class, and so the exit
 * code, that fits what can be done about it.
 */
import {
  type ErrorDetails,
  HoldfastError,
  ProtocolError,
  RefusedError,
  UnreachableError,
} from "../errors.ts";
import { escapeText } from "../log.ts";
import { ErrorCode, type ErrorMessage } from "../protocol_v4.ts";

/** The server has ended the session: what HAS said may no longer be so. Open another, ask again. */
export class SessionEndedError extends HoldfastError {
  override name = "SessionEndedError";
}

/** The statement has not seen events that it must know. Fetch them, decide again, sign again. */
export class StaleEventError extends HoldfastError {
  override name = "StaleEventError";
}

/** The server takes the request for malformed: it may be older than the request. It has ended the connection. */
export class NotUnderstoodError extends ProtocolError {
  override name = "NotUnderstoodError";
}

/** The server cannot now; the same request may work later. */
export class BusyError extends UnreachableError {
  override name = "BusyError";
}

type ErrorClass = new (message: string, details?: ErrorDetails) => HoldfastError;

interface Meaning {
  make: ErrorClass;
  state: string;
  hint?: string;
}

const MEANINGS: Record<number, Meaning> = {
  [ErrorCode.PROTOCOL]: {
    make: NotUnderstoodError,
    state: "the server does not understand",
    hint: "are client and server of the same version?",
  },
  [ErrorCode.UNKNOWN]: {
    make: RefusedError,
    state: "the server knows no vault with this device or code",
  },
  [ErrorCode.BAD_PROOF]: { make: RefusedError, state: "the server does not accept the proof" },
  [ErrorCode.FORBIDDEN]: {
    make: RefusedError,
    state: "this device may not do that, or is revoked",
  },
  [ErrorCode.BAD_INVITE]: {
    make: RefusedError,
    state: "the invite is unknown, expired or used",
    hint: "ask for a new invite",
  },
  [ErrorCode.BAD_RECORD]: {
    make: HoldfastError,
    state: "the bytes of a record and its id differ",
    hint: "this points to bad memory, here or at the server",
  },
  [ErrorCode.NO_SESSION]: { make: SessionEndedError, state: "the session has ended" },
  [ErrorCode.BAD_EVENT]: { make: RefusedError, state: "the journal does not take it" },
  [ErrorCode.STALE_EVENT]: { make: StaleEventError, state: "the journal has gone on meanwhile" },
  [ErrorCode.NO_SPACE]: { make: RefusedError, state: "the server has no room for more" },
  [ErrorCode.BUSY]: { make: BusyError, state: "the server is busy", hint: "try again later" },
  [ErrorCode.INTERNAL]: {
    make: BusyError,
    state: "the server failed",
    hint: "the server's log says why",
  },
};

/** @param purpose what the request was for, after "Cannot" */
export function answerError({ code, text }: ErrorMessage, purpose: string): HoldfastError {
  const { make, state, hint } = MEANINGS[code] ??
    { make: ProtocolError, state: `error ${code}, which is not known` };
  // The text is the server's: it must not move the cursor of a terminal.
  const words = text === "" ? "" : ` (${escapeText(text)})`;
  return new make(`Cannot ${purpose}: ${state}${words}`, hint === undefined ? {} : { hint });
}
