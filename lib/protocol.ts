/**
 * Messages of protocol version 3, the classic one, to the byte (docs/protocol.md, "Version 3").
 * Pure: every encoder has its decoder, and nothing here reads or writes anything. Decoders take
 * exactly the bytes of their message and throw {@link TruncatedError} on fewer or more.
 */
import { ByteReader, ByteWriter, concatBytes } from "./bytes.ts";
import { CLASSIC } from "./limits.ts";

/** Version byte that we send. What a peer sends is not looked at: 1 and 2 are met. */
export const VERSION = 3;

/** Requests, client to server. */
export const RequestCode = {
  REGISTER: 1025,
  SEND_PUBLIC_KEY: 1026,
  RECONNECT: 1027,
  SEND_FILE: 1028,
  CHECKSUM_MATCHED: 1029,
  CHECKSUM_WRONG: 1030,
  GIVE_UP: 1031,
} as const;

/** Answers, server to client. */
export const ResponseCode = {
  REGISTERED: 2100,
  REGISTRATION_FAILED: 2101,
  KEY_EXCHANGED: 2102,
  FILE_RECEIVED: 2103,
  CONFIRMED: 2104,
  RECONNECTED: 2105,
  RECONNECT_REFUSED: 2106,
  SERVER_ERROR: 2107,
} as const;

/** Sizes of the fields, in bytes. */
export const ID_BYTES = 16;
export const NAME_FIELD_BYTES = 255;
export const PUBLIC_KEY_BYTES = 160;
export const ENCRYPTED_KEY_BYTES = 128;
export const REQUEST_HEADER_BYTES = ID_BYTES + 1 + 2 + 4;
export const RESPONSE_HEADER_BYTES = 1 + 2 + 4;
export const PUBLIC_KEY_PAYLOAD_BYTES = NAME_FIELD_BYTES + PUBLIC_KEY_BYTES;
export const FILE_PREFIX_BYTES = 4 + NAME_FIELD_BYTES;
export const KEY_PAYLOAD_BYTES = ID_BYTES + ENCRYPTED_KEY_BYTES;
export const FILE_RECEIPT_BYTES = ID_BYTES + 4 + NAME_FIELD_BYTES + 4;

export interface RequestHeader {
  /** 16 bytes; without meaning in a REGISTER request. */
  clientId: Uint8Array;
  version: number;
  code: number;
  payloadBytes: number;
}

export interface ResponseHeader {
  version: number;
  code: number;
  payloadBytes: number;
}

/** Payload of SEND_PUBLIC_KEY. `nameField` is the whole 255-byte field. */
export interface PublicKeyPayload {
  nameField: Uint8Array;
  /** SubjectPublicKeyInfo, DER, 160 bytes. */
  publicKey: Uint8Array;
}

/** What precedes the ciphertext in SEND_FILE. */
export interface FilePrefix {
  /** Size of the ciphertext in bytes. */
  contentBytes: number;
  nameField: Uint8Array;
}

/** Payload of KEY_EXCHANGED and RECONNECTED. */
export interface KeyPayload {
  clientId: Uint8Array;
  /** The AES key, encrypted to the client's RSA key: 128 bytes. */
  encryptedKey: Uint8Array;
}

/** Payload of FILE_RECEIVED. */
export interface FileReceipt {
  clientId: Uint8Array;
  contentBytes: number;
  nameField: Uint8Array;
  checksum: number;
}

export function encodeRequestHeader(header: RequestHeader): Uint8Array<ArrayBuffer> {
  return new ByteWriter(REQUEST_HEADER_BYTES).bytes(exactly(header.clientId, ID_BYTES))
    .u8(header.version).u16(header.code).u32(header.payloadBytes).done();
}

export function decodeRequestHeader(bytes: Uint8Array): RequestHeader {
  return decodeAll(bytes, (reader) => ({
    clientId: reader.bytes(ID_BYTES),
    version: reader.u8(),
    code: reader.u16(),
    payloadBytes: reader.u32(),
  }));
}

export function encodeResponseHeader(header: ResponseHeader): Uint8Array<ArrayBuffer> {
  return new ByteWriter(RESPONSE_HEADER_BYTES).u8(header.version).u16(header.code)
    .u32(header.payloadBytes).done();
}

export function decodeResponseHeader(bytes: Uint8Array): ResponseHeader {
  return decodeAll(bytes, (reader) => ({
    version: reader.u8(),
    code: reader.u16(),
    payloadBytes: reader.u32(),
  }));
}

/** A whole request whose payload is at hand, for one write. */
export function encodeRequest(
  code: number,
  message: { clientId: Uint8Array; payload: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const { clientId, payload } = message;
  const header = { clientId, version: VERSION, code, payloadBytes: payload.length };
  return concatBytes(encodeRequestHeader(header), payload);
}

/** A whole answer, for one write: some clients read both parts with one call. */
export function encodeResponse(
  code: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const header = { version: VERSION, code, payloadBytes: payload.length };
  return concatBytes(encodeResponseHeader(header), payload);
}

/**
 * A string in its field of 255 bytes: UTF-8 (ASCII, for old peers), NUL-terminated, zero padded.
 *
 * @throws {RangeError} if it is over 254 bytes or holds a NUL
 */
export function encodeName(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > CLASSIC.nameBytesMax) {
    throw new RangeError(`Cannot encode name: ${bytes.length} bytes, at most 254 fit`);
  }
  if (bytes.includes(0)) throw new RangeError("Cannot encode name: it holds a NUL");
  const field = new Uint8Array(NAME_FIELD_BYTES);
  field.set(bytes);
  return field;
}

/**
 * The string in a field: what stands before its first NUL, or all of it. The rest may be garbage.
 *
 * @throws {TypeError} if it is not UTF-8
 */
export function decodeName(field: Uint8Array): string {
  const end = exactly(field, NAME_FIELD_BYTES).indexOf(0);
  const bytes = end < 0 ? field : field.subarray(0, end);
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

export function encodePublicKeyPayload(payload: PublicKeyPayload): Uint8Array<ArrayBuffer> {
  return new ByteWriter(PUBLIC_KEY_PAYLOAD_BYTES)
    .bytes(exactly(payload.nameField, NAME_FIELD_BYTES))
    .bytes(exactly(payload.publicKey, PUBLIC_KEY_BYTES)).done();
}

export function decodePublicKeyPayload(bytes: Uint8Array): PublicKeyPayload {
  return decodeAll(bytes, (reader) => ({
    nameField: reader.bytes(NAME_FIELD_BYTES),
    publicKey: reader.bytes(PUBLIC_KEY_BYTES),
  }));
}

export function encodeFilePrefix(prefix: FilePrefix): Uint8Array<ArrayBuffer> {
  return new ByteWriter(FILE_PREFIX_BYTES).u32(prefix.contentBytes)
    .bytes(exactly(prefix.nameField, NAME_FIELD_BYTES)).done();
}

export function decodeFilePrefix(bytes: Uint8Array): FilePrefix {
  return decodeAll(bytes, (reader) => ({
    contentBytes: reader.u32(),
    nameField: reader.bytes(NAME_FIELD_BYTES),
  }));
}

export function encodeKeyPayload(payload: KeyPayload): Uint8Array<ArrayBuffer> {
  return new ByteWriter(KEY_PAYLOAD_BYTES).bytes(exactly(payload.clientId, ID_BYTES))
    .bytes(exactly(payload.encryptedKey, ENCRYPTED_KEY_BYTES)).done();
}

export function decodeKeyPayload(bytes: Uint8Array): KeyPayload {
  return decodeAll(bytes, (reader) => ({
    clientId: reader.bytes(ID_BYTES),
    encryptedKey: reader.bytes(ENCRYPTED_KEY_BYTES),
  }));
}

export function encodeFileReceipt(receipt: FileReceipt): Uint8Array<ArrayBuffer> {
  return new ByteWriter(FILE_RECEIPT_BYTES).bytes(exactly(receipt.clientId, ID_BYTES))
    .u32(receipt.contentBytes).bytes(exactly(receipt.nameField, NAME_FIELD_BYTES))
    .u32(receipt.checksum).done();
}

export function decodeFileReceipt(bytes: Uint8Array): FileReceipt {
  return decodeAll(bytes, (reader) => ({
    clientId: reader.bytes(ID_BYTES),
    contentBytes: reader.u32(),
    nameField: reader.bytes(NAME_FIELD_BYTES),
    checksum: reader.u32(),
  }));
}

/** Size of the ciphertext of `plainBytes` bytes: padding fills up to 16, and is never empty. */
export function cipherSize(plainBytes: number): number {
  return plainBytes - (plainBytes % 16) + 16;
}

function decodeAll<T>(bytes: Uint8Array, decode: (reader: ByteReader) => T): T {
  const reader = new ByteReader(bytes);
  const message = decode(reader);
  reader.end();
  return message;
}

function exactly(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) {
    throw new RangeError(`Field has ${bytes.length} bytes instead of ${size}`);
  }
  return bytes;
}
