/**
 * The errors of the world, as opposed to the errors of a caller (`TypeError`, `RangeError`). A class
 * exists because somebody acts on it: `client.ts` and `server.ts` turn each into an exit code.
 */

/** Exit codes of both programs; the same table is in `--help`. */
export const ExitCode = {
  DONE: 0,
  FAILED: 1,
  USAGE: 2,
  INCOMPLETE: 3,
  REFUSED: 4,
  DAMAGED: 5,
  UNREACHABLE: 6,
  INTERRUPTED: 130,
} as const;

/** Extra text for an error: what the user can do about it, and what caused it. */
export interface ErrorDetails {
  hint?: string;
  cause?: unknown;
}

/** Base of all errors below. `hint` is one sentence on what to do, shown on a line of its own. */
export class HoldfastError extends Error {
  override name = "HoldfastError";
  readonly exitCode: number = ExitCode.FAILED;
  readonly hint: string | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.hint = details.hint;
  }
}

/** The command line, or a file that stands for it, makes no sense. */
export class UsageError extends HoldfastError {
  override name = "UsageError";
  override readonly exitCode = ExitCode.USAGE;
}

/** Somebody who may say no said no: a permission, an unknown device, a wrong pin, a taken name. */
export class RefusedError extends HoldfastError {
  override name = "RefusedError";
  override readonly exitCode = ExitCode.REFUSED;
}

/** Stored or received data is not what it must be. */
export class DamagedError extends HoldfastError {
  override name = "DamagedError";
  override readonly exitCode = ExitCode.DAMAGED;
}

/** The peer cannot be reached, or the connection to it was lost. Trying again may help. */
export class UnreachableError extends HoldfastError {
  override name = "UnreachableError";
  override readonly exitCode = ExitCode.UNREACHABLE;
}

/** The peer does not follow the protocol. Trying again does not help. */
export class ProtocolError extends HoldfastError {
  override name = "ProtocolError";
}

/** What went wrong, for a log line or a message: the text of an error and of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === "" ? error.name : error.message;
  return error.cause === undefined ? own : `${own}: ${describeError(error.cause)}`;
}
