/** Requests of protocol version 4 as promises: one answer of an expected code, decoded. */
import { ProtocolError } from "../errors.ts";
import type { RequestCode } from "../protocol_v4.ts";
import type { Answer, WireRequest } from "./wire_v4.ts";

/** What is asked, and what is made of the answer. */
export interface Question<T> {
  code: RequestCode;
  /** For messages, after "Cannot". */
  purpose: string;
  payload: Uint8Array[];
  /** For each code that answers it, what its payload says. */
  answers: Record<number, (payload: Uint8Array) => T>;
  silenceMs?: number;
}

/** Sends a question by `send` and waits for its answer. */
export function ask<T>(send: (request: WireRequest) => void, question: Question<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const { code, purpose, payload, answers, silenceMs } = question;
    send({
      code,
      purpose,
      ...(silenceMs === undefined ? {} : { silenceMs }),
      encode: () => payload,
      take: (answer) => resolve(decodeAnswer(answer, answers)),
      fail: reject,
    });
  });
}

/** @throws {ProtocolError} if the request cannot have such an answer */
export function decodeAnswer<T>(
  { code, hasMore, payload }: Answer,
  answers: Record<number, (payload: Uint8Array) => T>,
): T {
  const decode = Object.hasOwn(answers, code) ? answers[code] : undefined;
  if (decode === undefined || hasMore) {
    throw new ProtocolError(`Cannot read answer ${code}: it does not fit the request`);
  }
  return decode(payload);
}
