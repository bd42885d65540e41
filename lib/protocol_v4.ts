/**
 * Messages of protocol version 4, the vault protocol (docs/protocol_v4.md): frames, codes, and what is said once a
 * device is logged in. How it logs in is in `protocol_v4_login.ts`. Pure: every encoder has its decoder. Decoders
 * take exactly the bytes of their payload; they throw {@link TruncatedError} on fewer or more, and {@link RangeError}
 * on what is over a bound. Fields that are bytes are views of the payload.
 */
import { ByteReader, ByteWriter, concatBytes } from "./bytes.ts";
import { VAULT, WIRE } from "./limits.ts";
import { SIGNER_ID_BYTES } from "./identity.ts";
import { RECORD_ID_BYTES } from "./record.ts";

export const VERSION = 4;
/** Name of the protocol for TLS. */
export const ALPN = "holdfast/4";

/** Requests, client to server. */
export const RequestCode = {
  HELLO: 1100,
  PROVE: 1101,
  FOUND: 1102,
  FETCH_INVITE: 1103,
  JOIN: 1104,
  PING: 1110,
  EVENTS: 1111,
  APPEND: 1112,
  INVITE: 1113,
  SEEN: 1114,
  STATUS: 1115,
  OPEN: 1120,
  HAS: 1121,
  PUT: 1122,
  FLUSH: 1123,
  COMMIT: 1124,
  CLOSE: 1125,
  GET: 1130,
  /** GET without the server's look at what it sends. */
  READ: 1131,
} as const;
export type RequestCode = typeof RequestCode[keyof typeof RequestCode];

/** Answers, server to client. */
export const AnswerCode = {
  ERROR: 2200,
  CHALLENGE: 2201,
  WELCOME: 2202,
  APPENDED: 2203,
  BUNDLE: 2204,
  DONE: 2210,
  EVENTS: 2211,
  SEEN: 2212,
  USAGE: 2213,
  SESSION: 2220,
  BITMAP: 2221,
  STORED: 2222,
  MISSING: 2223,
  RECORD: 2230,
} as const;
export type AnswerCode = typeof AnswerCode[keyof typeof AnswerCode];

/** Why a request failed. What the client does about each is in docs/protocol_v4.md, "Errors". */
export const ErrorCode = {
  /** The request makes no sense. The server ends the connection after it. */
  PROTOCOL: 1,
  /** No vault knows this device or recovery code. */
  UNKNOWN: 2,
  /** The proof does not fit the challenge. */
  BAD_PROOF: 3,
  /** The role does not allow it, or the device is revoked. */
  FORBIDDEN: 4,
  /** The invite is unknown, expired, or used for other keys. */
  BAD_INVITE: 5,
  /** The record's bytes, its id or its links are wrong. */
  BAD_RECORD: 6,
  /** No session is open on this connection, or it has expired or was fenced. */
  NO_SESSION: 7,
  /** The journal does not take the statement. */
  BAD_EVENT: 8,
  /** The statement has not seen events that it must know: fetch them, sign again. */
  STALE_EVENT: 9,
  /** No room for more. */
  NO_SPACE: 10,
  /** A bound of the server is reached; later it may work. */
  BUSY: 11,
  /** The server failed; its log says why. */
  INTERNAL: 12,
} as const;
export type ErrorCode = typeof ErrorCode[keyof typeof ErrorCode];

/** Version 1, flags 1, code 2, request id 4, payload size 4. */
export const FRAME_HEADER_BYTES = 1 + 1 + 2 + 4 + 4;
/** Flag of an answer: more frames answer the same request. */
export const FLAG_MORE = 1;
export const SESSION_ID_BYTES = 16;
const HASH_BYTES = 32;

export interface FrameHeader {
  /** 0, or in an answer {@link FLAG_MORE}. */
  flags: number;
  code: number;
  /** Chosen by the client; the answer carries the same. */
  requestId: number;
  payloadBytes: number;
}

/** Answer ERROR. */
export interface ErrorMessage {
  code: number;
  /** For people. */
  text: string;
}

/** Answer EVENTS: a page of the journal. */
export interface EventsPage {
  /** Number of the newest event that there is. */
  headNumber: number;
  /** Consecutive events, the first one follows the one that was named. */
  events: Uint8Array[];
}

/** Answer APPENDED: where a statement stands in the journal. */
export interface Appended {
  number: number;
  /** Hash of the event, 32 bytes. */
  hash: Uint8Array;
}

/** Request INVITE. */
export interface InviteUpload {
  /** SHA-256 of the token, 32 bytes. */
  tokenHash: Uint8Array;
  /** Milliseconds since 1970. */
  expiresMs: number;
  /** What the joining device needs, sealed. */
  bundle: Uint8Array;
}

/** Answer SEEN, for each device that has logged in: by the server's word alone. */
export interface SeenDevice {
  /** 16 bytes. */
  device: Uint8Array;
  /** Its newest login, milliseconds since 1970. */
  timeMs: number;
}

/** Answer SESSION. */
export interface SessionGrant {
  /** The vault's epoch of collection in which the session was opened. */
  epoch: number;
  /** It ends when it was not used for this long, in milliseconds. */
  expiresMs: number;
}

/** Request PUT. */
export interface PutMessage {
  id: Uint8Array;
  record: Uint8Array;
}

/** Answer MISSING: what a commit lacks. */
export interface MissingRecords {
  /** Whether there is more than is listed. */
  isCut: boolean;
  ids: Uint8Array[];
}

export const RecordState = { FOUND: 1, MISSING: 2, DAMAGED: 3 } as const;
export type RecordState = typeof RecordState[keyof typeof RecordState];

/** Answer RECORD, one of as many as there were ids in the request. */
export interface RecordAnswer {
  /** Place of the id in the request, from 0. */
  index: number;
  state: RecordState;
  /** Empty unless found. */
  record: Uint8Array;
}

export function encodeFrameHeader(header: FrameHeader): Uint8Array<ArrayBuffer> {
  return new ByteWriter(FRAME_HEADER_BYTES).u8(VERSION).u8(header.flags).u16(header.code)
    .u32(header.requestId).u32(atMost(header.payloadBytes, WIRE.payloadBytesMax)).done();
}

export function decodeFrameHeader(bytes: Uint8Array): FrameHeader {
  return decodeAll(bytes, (reader) => {
    const version = reader.u8();
    if (version !== VERSION) throw new RangeError(`unknown version ${version}`);
    const flags = reader.u8();
    if ((flags & ~FLAG_MORE) !== 0) throw new RangeError(`unknown flags ${flags}`);
    const [code, requestId] = [reader.u16(), reader.u32()];
    return { flags, code, requestId, payloadBytes: atMost(reader.u32(), WIRE.payloadBytesMax) };
  });
}

/** A whole frame whose payload is at hand. */
export function encodeFrame(
  code: number,
  { requestId, payload = new Uint8Array(0), flags = 0 }: {
    requestId: number;
    payload?: Uint8Array;
    flags?: number;
  },
): Uint8Array<ArrayBuffer> {
  const header = { flags, code, requestId, payloadBytes: payload.length };
  return concatBytes(encodeFrameHeader(header), payload);
}

/** A text that is too long is cut. */
export function encodeError({ code, text }: ErrorMessage): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(WIRE.errorTextBytesMax);
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new ByteWriter(2 + written).u16(code).bytes(bytes.subarray(0, written)).done();
}

export function decodeError(bytes: Uint8Array): ErrorMessage {
  return decodeAll(bytes, (reader) => {
    const code = reader.u16();
    atMost(reader.remaining, WIRE.errorTextBytesMax);
    return { code, text: new TextDecoder().decode(reader.rest()) };
  });
}

/** Request EVENTS: the number of the newest event that the client knows; 0 for none. */
export function encodeEventsAfter(number: number): Uint8Array<ArrayBuffer> {
  return new ByteWriter(8).u64(number).done();
}

export function decodeEventsAfter(bytes: Uint8Array): number {
  return decodeAll(bytes, (reader) => reader.u64());
}

export function encodeEventsPage({ headNumber, events }: EventsPage): Uint8Array<ArrayBuffer> {
  const size = events.reduce((sum, event) => sum + 4 + event.length, 8);
  const writer = new ByteWriter(atMost(size, WIRE.payloadBytesMax)).u64(headNumber);
  for (const event of events) writer.u32(event.length).bytes(event);
  return writer.done();
}

export function decodeEventsPage(bytes: Uint8Array): EventsPage {
  return decodeAll(bytes, (reader) => {
    const headNumber = reader.u64();
    const events: Uint8Array[] = [];
    while (reader.remaining > 0) events.push(reader.bytes(reader.u32()));
    return { headNumber, events };
  });
}

export function encodeAppended({ number, hash }: Appended): Uint8Array<ArrayBuffer> {
  return new ByteWriter(8 + HASH_BYTES).u64(number).bytes(exactly(hash, HASH_BYTES)).done();
}

export function decodeAppended(bytes: Uint8Array): Appended {
  return decodeAll(bytes, (reader) => ({ number: reader.u64(), hash: reader.bytes(HASH_BYTES) }));
}

export function encodeInviteUpload(invite: InviteUpload): Uint8Array<ArrayBuffer> {
  atMost(invite.bundle.length, WIRE.bundleBytesMax);
  return new ByteWriter(HASH_BYTES + 8 + invite.bundle.length)
    .bytes(exactly(invite.tokenHash, HASH_BYTES)).u64(invite.expiresMs).bytes(invite.bundle).done();
}

export function decodeInviteUpload(bytes: Uint8Array): InviteUpload {
  return decodeAll(bytes, (reader) => {
    const [tokenHash, expiresMs] = [reader.bytes(HASH_BYTES), reader.u64()];
    atMost(reader.remaining, WIRE.bundleBytesMax);
    return { tokenHash, expiresMs, bundle: reader.rest() };
  });
}

export function encodeSeen(seen: SeenDevice[]): Uint8Array<ArrayBuffer> {
  const count = atMost(seen.length, VAULT.devicesMax);
  const writer = new ByteWriter(count * (SIGNER_ID_BYTES + 8));
  for (const { device, timeMs } of seen) {
    writer.bytes(exactly(device, SIGNER_ID_BYTES)).u64(timeMs);
  }
  return writer.done();
}

export function decodeSeen(bytes: Uint8Array): SeenDevice[] {
  return decodeAll(bytes, (reader) => {
    atMost(reader.remaining, VAULT.devicesMax * (SIGNER_ID_BYTES + 8));
    const seen: SeenDevice[] = [];
    while (reader.remaining > 0) {
      seen.push({ device: reader.bytes(SIGNER_ID_BYTES), timeMs: reader.u64() });
    }
    return seen;
  });
}

/** Requests OPEN and CLOSE: the session's id, drawn by the client. 16 bytes. */
export function encodeSessionId(id: Uint8Array): Uint8Array<ArrayBuffer> {
  return new ByteWriter(SESSION_ID_BYTES).bytes(exactly(id, SESSION_ID_BYTES)).done();
}

export function decodeSessionId(bytes: Uint8Array): Uint8Array {
  return decodeAll(bytes, (reader) => reader.bytes(SESSION_ID_BYTES));
}

export function encodeSessionGrant(grant: SessionGrant): Uint8Array<ArrayBuffer> {
  return new ByteWriter(8 + 4).u64(grant.epoch).u32(grant.expiresMs).done();
}

export function decodeSessionGrant(bytes: Uint8Array): SessionGrant {
  return decodeAll(bytes, (reader) => ({ epoch: reader.u64(), expiresMs: reader.u32() }));
}

/** Requests HAS, GET and READ: ids of records, at least one. */
export function encodeIds(ids: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(checkIdCount(ids.length) * RECORD_ID_BYTES);
  for (const id of ids) writer.bytes(exactly(id, RECORD_ID_BYTES));
  return writer.done();
}

export function decodeIds(bytes: Uint8Array): Uint8Array[] {
  return decodeAll(bytes, (reader) => {
    checkIdCount(Math.ceil(reader.remaining / RECORD_ID_BYTES));
    return readIds(reader);
  });
}

/** Answer BITMAP: for the id at place i, bit i % 8 of byte i / 8. Unused bits are 0. */
export function encodeBitmap(bits: boolean[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(checkIdCount(bits.length) / 8));
  bits.forEach((bit, i) => bytes[i >> 3] |= Number(bit) << (i & 7));
  return bytes;
}

/** @param count how many ids the request had */
export function decodeBitmap(bytes: Uint8Array, count: number): boolean[] {
  return decodeAll(bytes, (reader) => {
    const bitmap = reader.bytes(Math.ceil(count / 8));
    return Array.from({ length: count }, (_, i) => (bitmap[i >> 3] >> (i & 7) & 1) === 1);
  });
}

/** The id, then the record: a sender with both at hand can write them one after the other. */
export function encodePut({ id, record }: PutMessage): Uint8Array<ArrayBuffer> {
  return concatBytes(exactly(id, RECORD_ID_BYTES), record);
}

export function decodePut(bytes: Uint8Array): PutMessage {
  return decodeAll(bytes, (reader) => ({
    id: reader.bytes(RECORD_ID_BYTES),
    record: reader.rest(),
  }));
}

/** Answer STORED: request ids of the PUTs that are durable now. */
export function encodeStored(requestIds: number[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(atMost(requestIds.length, WIRE.storedIdsMax) * 4);
  for (const requestId of requestIds) writer.u32(requestId);
  return writer.done();
}

export function decodeStored(bytes: Uint8Array): number[] {
  return decodeAll(bytes, (reader) => {
    atMost(reader.remaining, WIRE.storedIdsMax * 4);
    const requestIds: number[] = [];
    while (reader.remaining > 0) requestIds.push(reader.u32());
    return requestIds;
  });
}

export function encodeMissing({ isCut, ids }: MissingRecords): Uint8Array<ArrayBuffer> {
  const size = atMost(ids.length, WIRE.missingIdsMax) * RECORD_ID_BYTES;
  const writer = new ByteWriter(1 + size).u8(isCut ? 1 : 0);
  for (const id of ids) writer.bytes(exactly(id, RECORD_ID_BYTES));
  return writer.done();
}

export function decodeMissing(bytes: Uint8Array): MissingRecords {
  return decodeAll(bytes, (reader) => {
    const isCut = atMost(reader.u8(), 1) === 1;
    atMost(reader.remaining, WIRE.missingIdsMax * RECORD_ID_BYTES);
    return { isCut, ids: readIds(reader) };
  });
}

/** Size of what stands before the record in a RECORD answer: index 4, state 1. */
export const RECORD_ANSWER_PREFIX_BYTES = 4 + 1;

/** What stands before the record in a RECORD answer, so that it can be sent without being copied. */
export function encodeRecordAnswerPrefix(
  { index, state }: Omit<RecordAnswer, "record">,
): Uint8Array<ArrayBuffer> {
  return new ByteWriter(RECORD_ANSWER_PREFIX_BYTES).u32(index).u8(state).done();
}

export function encodeRecordAnswer(message: RecordAnswer): Uint8Array<ArrayBuffer> {
  return concatBytes(encodeRecordAnswerPrefix(message), message.record);
}

export function decodeRecordAnswer(bytes: Uint8Array): RecordAnswer {
  return decodeAll(bytes, (reader) => {
    const [index, state] = [reader.u32(), reader.u8()];
    if (state < RecordState.FOUND || state > RecordState.DAMAGED) {
      throw new RangeError(`unknown state ${state}`);
    }
    return { index, state: state as RecordState, record: reader.rest() };
  });
}

/** Decodes a payload to its end. For the codecs of this protocol. */
export function decodeAll<T>(bytes: Uint8Array, decode: (reader: ByteReader) => T): T {
  const reader = new ByteReader(bytes);
  const message = decode(reader);
  reader.end();
  return message;
}

/** The bytes, if they are as many as the field has. @throws {RangeError} */
export function exactly<T extends Uint8Array>(bytes: T, size: number): T {
  if (bytes.length !== size) throw new RangeError(`Field of ${bytes.length} bytes, not ${size}`);
  return bytes;
}

/** The number, if it is within its bound. @throws {RangeError} */
export function atMost(value: number, max: number): number {
  if (value > max) throw new RangeError(`${value} is over ${max}`);
  return value;
}

function readIds(reader: ByteReader): Uint8Array[] {
  const ids: Uint8Array[] = [];
  while (reader.remaining > 0) ids.push(reader.bytes(RECORD_ID_BYTES));
  return ids;
}

function checkIdCount(count: number): number {
  if (count < 1) throw new RangeError("no ids");
  return atMost(count, WIRE.idsPerRequestMax);
}
