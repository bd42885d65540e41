/** Errors on their way from a worker: copying one loses its class, and with it what can be done about it. */
import {
  DamagedError,
  HoldfastError,
  ProtocolError,
  RefusedError,
  UnreachableError,
} from "../errors.ts";
import { BusyError, SessionEndedError } from "./answer_error.ts";
import type { WorkerFault } from "./backup_job.ts";

const CLASSES = {
  DamagedError,
  ProtocolError,
  RefusedError,
  UnreachableError,
  BusyError,
  SessionEndedError,
};

export function encodeWorkerError(error: unknown): WorkerFault {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const hint = error instanceof HoldfastError ? error.hint : undefined;
  const name = Object.entries(CLASSES).find(([, type]) => error.constructor === type)?.[0] ??
    (error instanceof DamagedError ? "DamagedError" : error.name);
  return { name, message: error.message, ...(hint === undefined ? {} : { hint }) };
}

export function decodeWorkerError({ name, message, hint }: WorkerFault): Error {
  const details = hint === undefined ? {} : { hint };
  if (Object.hasOwn(CLASSES, name)) {
    return new CLASSES[name as keyof typeof CLASSES](message, details);
  }
  return new HoldfastError(message, details);
}
