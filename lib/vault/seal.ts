/**
 * Sealing and opening records (docs/format.md, "Sealing"). The key of a record follows from its
 * contents and the write secret, so equal contents of all devices of a vault become one record.
 */
import {
  ByteReader,
  ByteWriter,
  concatBytes,
  equalBytes,
  releaseBuffer,
  TruncatedError,
} from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { hmac } from "../kdf.ts";
import { VAULT } from "../limits.ts";
import { decodeRecord, encodeRecordHeader, recordId, type RecordType } from "../record.ts";
import { decryptChaCha, encryptChaCha, ZERO_NONCE } from "./aead.ts";
import { Codec, compress, decompress } from "./compress.ts";
import { padmeSize } from "./padme.ts";

/** Codec 1, length 4. */
const CONTENT_PREFIX_BYTES = 1 + 4;

/** What goes into a record. */
export interface RecordContent {
  type: RecordType;
  /** Ids of the records that this one needs. */
  links: Uint8Array[];
  plaintext: Uint8Array;
}

/** What was in a record, and a way to give its memory back before the collector comes round. */
export interface OpenedRecord extends RecordContent {
  /** The plaintext is gone after this. */
  release(): void;
}

/** A record as it is stored, and what opens it. */
export interface SealedRecord {
  id: Uint8Array<ArrayBuffer>;
  /** 32 bytes. To whoever has it the record is open. */
  key: Uint8Array<ArrayBuffer>;
  /** One behind the other they are the record; the header is the first. */
  parts: Uint8Array[];
}

/**
 * Seals contents of up to {@link VAULT.plaintextBytesMax} bytes. The same contents: the same record. Its parts are
 * megabytes to copy, so they are not joined.
 */
export function sealRecord(
  recordKey: Uint8Array,
  { type, links, plaintext }: RecordContent,
): SealedRecord {
  const header = encodeRecordHeader({ type, links });
  const { parts: contents, release } = contentParts(plaintext);
  const key = hmac(recordKey, header, ...contents);
  const context = { nonce: ZERO_NONCE, covered: header, parts: contents };
  const parts = [header, ...encryptChaCha(key, context)];
  release();
  return { id: recordId(...parts), key, parts };
}

/**
 * Opens a record: checks its id, then its tag, then its lengths.
 *
 * @throws {DamagedError} if it is not the record of that id, or not sealed with that key
 */
export function openRecord(
  record: Uint8Array,
  { id, key }: { id: Uint8Array; key: Uint8Array },
): OpenedRecord {
  checkRecordId(record, id);
  const { type, links, header, body } = decodeRecord(record);
  const fields = { nonce: ZERO_NONCE, covered: header, ciphertext: body };
  const padded = decryptChaCha(key, { ...fields, what: `record ${id.toHex()}` });
  const plaintext = unpadContent(padded);
  if (plaintext.buffer !== padded.buffer) releaseBuffer(padded);
  return { type, links, plaintext, release: () => releaseBuffer(plaintext) };
}

/** @throws {DamagedError} if the bytes are not the record of that id */
export function checkRecordId(record: Uint8Array, id: Uint8Array): void {
  if (record.length > VAULT.recordBytesMax || !equalBytes(recordId(record), id)) {
    throw new DamagedError(`Cannot open record ${id.toHex()}: these are other bytes`);
  }
}

/** Codec, length, the contents raw or compressed, and zeros up to the padded size. */
export function padContent(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
  const { parts, release } = contentParts(plaintext);
  const padded = concatBytes(...parts);
  release();
  return padded;
}

/** The same in parts, and what gives their memory back. */
function contentParts(plaintext: Uint8Array): { parts: Uint8Array[]; release: () => void } {
  if (plaintext.length > VAULT.plaintextBytesMax) {
    throw new RangeError(`Record of ${plaintext.length} bytes`);
  }
  const { codec, bytes } = compress(plaintext);
  const size = CONTENT_PREFIX_BYTES + bytes.length;
  const prefix = new ByteWriter(CONTENT_PREFIX_BYTES).u8(codec).u32(bytes.length).done();
  const padding = new Uint8Array(padmeSize(size) - size);
  const release = codec === Codec.ZSTD ? () => releaseBuffer(bytes) : () => {};
  return { parts: [prefix, bytes, padding], release };
}

/** @throws {DamagedError} if it is not what {@link padContent} makes */
export function unpadContent(padded: Uint8Array): Uint8Array {
  try {
    const reader = new ByteReader(padded);
    const codec = reader.u8();
    if (codec !== Codec.RAW && codec !== Codec.ZSTD) throw damaged(`unknown codec ${codec}`);
    const bytes = reader.bytes(reader.u32());
    if (padded.length !== padmeSize(CONTENT_PREFIX_BYTES + bytes.length)) {
      throw damaged("wrong size of padding");
    }
    if (!isZero(reader.rest())) throw damaged("padding is not zero");
    return decompress({ codec, bytes });
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("cut short");
    throw cause;
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot open record: ${state}`);
}
