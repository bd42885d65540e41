/**
 * Records, the unit of storage (docs/format.md, "Records"): a header in clear, which names the records
 * that this one needs, and a body that only the owner of the vault can open. Both sides use this file;
 * what is inside a body is in `vault/`, which the server does not have.
 */
import { createHash, hash } from "node:crypto";
import { ByteReader, ByteWriter, TruncatedError } from "./bytes.ts";
import { DamagedError } from "./errors.ts";
import { VAULT } from "./limits.ts";

/** It names the cipher of what a record seals. 1 was AES-GCM, before there was a release. */
export const RECORD_VERSION = 2;
/** Size of a record's id, and so of a link: a SHA-256. */
export const RECORD_ID_BYTES = 32;
/** Size of a header without links: version 1, type 1, number of links 2. */
export const RECORD_PREFIX_BYTES = 4;
/** No body is smaller: it ends with an authentication tag. */
export const BODY_BYTES_MIN = 16;

export const RecordType = {
  /** File contents. No links. */
  DATA: 1,
  /** Extents of one very large file. */
  LIST: 2,
  /** A run of directory entries. */
  SEGMENT: 3,
  /** References of segments, or of index records one level down. */
  INDEX: 4,
  /** The wrapped key of one backup run. No links. */
  SESSION: 5,
  /** One snapshot. */
  ROOT: 6,
} as const;
export type RecordType = typeof RecordType[keyof typeof RecordType];

export interface RecordHeader {
  type: RecordType;
  /** Ids of the records that this one needs, 32 bytes each. */
  links: Uint8Array[];
}

/** A record taken apart. All byte fields are views of the record. */
export interface DecodedRecord extends RecordHeader {
  /** The header's own bytes: what the body's authentication covers. */
  header: Uint8Array;
  body: Uint8Array;
}

/** The id of a record, whole or in parts: SHA-256 of all its bytes. 32 bytes. */
export function recordId(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 1) return new Uint8Array(hash("sha256", parts[0], "buffer")); // with one call
  const all = createHash("sha256");
  for (const part of parts) all.update(part);
  return new Uint8Array(all.digest());
}

/** Size of a header with that many links, in bytes. */
export function headerSize(linkCount: number): number {
  return RECORD_PREFIX_BYTES + linkCount * RECORD_ID_BYTES;
}

/**
 * The bytes of a header.
 *
 * @throws {RangeError} on more links than allowed, a link that is not an id, or links of a type
 * that has none
 */
export function encodeRecordHeader({ type, links }: RecordHeader): Uint8Array<ArrayBuffer> {
  if (!isRecordType(type)) throw new RangeError(`No record type ${type}`);
  if (links.length > maxLinks(type)) {
    throw new RangeError(`Record of type ${type} with ${links.length} links`);
  }
  const writer = new ByteWriter(headerSize(links.length));
  writer.u8(RECORD_VERSION).u8(type).u16(links.length);
  for (const link of links) {
    if (link.length !== RECORD_ID_BYTES) throw new RangeError(`Link of ${link.length} bytes`);
    writer.bytes(link);
  }
  return writer.done();
}

/**
 * Takes a record apart. Does not look at its id: see {@link recordId}.
 *
 * @throws {DamagedError} if it is over 4 MiB, cut short, or of an unknown version or type
 */
export function decodeRecord(record: Uint8Array): DecodedRecord {
  if (record.length > VAULT.recordBytesMax) {
    throw damaged(`${record.length} bytes, at most ${VAULT.recordBytesMax} allowed`);
  }
  try {
    const reader = new ByteReader(record);
    const { type, links } = readHeader(reader);
    const header = record.subarray(0, reader.offset);
    const body = reader.rest();
    if (body.length < BODY_BYTES_MIN) throw damaged(`body of ${body.length} bytes`);
    return { type, links, header, body };
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("cut short", cause);
    throw cause;
  }
}

function readHeader(reader: ByteReader): RecordHeader {
  const version = reader.u8();
  if (version !== RECORD_VERSION) throw damaged(`unknown version ${version}`);
  const type = reader.u8();
  if (!isRecordType(type)) throw damaged(`unknown type ${type}`);
  const count = reader.u16();
  if (count > maxLinks(type)) throw damaged(`${count} links in a record of type ${type}`);
  const links: Uint8Array[] = [];
  for (let i = 0; i < count; i++) links.push(reader.bytes(RECORD_ID_BYTES));
  return { type, links };
}

function isRecordType(type: number): type is RecordType {
  return type >= RecordType.DATA && type <= RecordType.ROOT;
}

/** Data and session records are leaves; so no chain of them can be built to tire a server. */
function maxLinks(type: RecordType): number {
  return type === RecordType.DATA || type === RecordType.SESSION ? 0 : VAULT.linksMax;
}

function damaged(state: string, cause?: unknown): DamagedError {
  return new DamagedError(`Cannot decode record: ${state}`, { cause });
}
