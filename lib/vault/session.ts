/**
 * Sessions and references (docs/format.md, "Sessions"). A backup run draws a key S, stores it wrapped
 * to the vault's read key, masks with it the key of every record that it names, and forgets it.
 */
import { ByteReader, ByteWriter, concatBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import type { ReadKey } from "../identity.ts";
import { hmac } from "../kdf.ts";
import { decodeRecord, encodeRecordHeader, recordId, RecordType } from "../record.ts";
import { checkRecordId } from "./seal.ts";
import { unwrap, type UnwrapKey, wrap, WRAP_OVERHEAD_BYTES } from "./wrap.ts";

export const SESSION_KEY_BYTES = 32;
export const MASKED_KEY_BYTES = 32;
const MASK_LABEL = new TextEncoder().encode("mask");
const WRAPPED_BYTES = SESSION_KEY_BYTES + WRAP_OVERHEAD_BYTES;

/** A session of which the key is known. */
export interface Session {
  /** Id of its record. 32 bytes. */
  id: Uint8Array;
  /** S, 32 bytes. */
  key: Uint8Array;
}

/** Names a record to whoever can open its session. */
export interface Reference {
  /** Id of the record. 32 bytes. */
  id: Uint8Array;
  /** Id of the session record. 32 bytes. */
  session: Uint8Array;
  /** The record's key, masked by the session's. 32 bytes. */
  maskedKey: Uint8Array;
}

/** Which vault and epoch a session belongs to, and the read key of that epoch. */
export interface SessionContext {
  vaultId: Uint8Array;
  epoch: number;
  readKey: ReadKey;
}

/** Draws a session key; the record that keeps it is to be stored with the first of its records. */
export async function createSession(
  { vaultId, epoch, readKey }: SessionContext,
): Promise<Session & { record: Uint8Array<ArrayBuffer> }> {
  const key = crypto.getRandomValues(new Uint8Array(SESSION_KEY_BYTES));
  const context = { purpose: "session" as const, vaultId, epoch };
  const wrapped = await wrap(readKey, { plaintext: key, context });
  const header = encodeRecordHeader({ type: RecordType.SESSION, links: [] });
  const record = concatBytes(header, new ByteWriter(4).u32(epoch).done(), wrapped);
  return { id: recordId(record), key, record };
}

/**
 * Epoch of a session record: which read key opens it.
 *
 * @param id the id by which the record was asked for
 * @throws {DamagedError} if it is another record: it would name an epoch that never was
 */
export function sessionEpoch(record: Uint8Array, id: Uint8Array): number {
  checkRecordId(record, id);
  return decodeSession(record).epoch;
}

/**
 * @param id the id by which the record was asked for
 * @throws {DamagedError} if it is another record, or not wrapped to this read key
 */
export async function openSession(
  record: Uint8Array,
  { id, vaultId, readKey }: { id: Uint8Array; vaultId: Uint8Array; readKey: UnwrapKey },
): Promise<Session> {
  checkRecordId(record, id);
  const { epoch, wrapped } = decodeSession(record);
  const context = { purpose: "session" as const, vaultId, epoch };
  return { id, key: await unwrap(readKey, { wrapped, context }) };
}

/** A reference to a record, in a session. */
export function maskKey(
  session: Session,
  { id, key }: { id: Uint8Array; key: Uint8Array },
): Reference {
  return { id, session: session.id, maskedKey: xorMask(session, { id, key }) };
}

/** The key of the record that a reference names. */
export function unmaskKey(session: Session, reference: Reference): Uint8Array<ArrayBuffer> {
  return xorMask(session, { id: reference.id, key: reference.maskedKey });
}

function xorMask(
  session: Session,
  { id, key }: { id: Uint8Array; key: Uint8Array },
): Uint8Array<ArrayBuffer> {
  if (key.length !== MASKED_KEY_BYTES) throw new RangeError("Key of a wrong size");
  const mask = hmac(session.key, MASK_LABEL, id);
  for (let i = 0; i < mask.length; i++) mask[i] ^= key[i];
  return mask;
}

function decodeSession(record: Uint8Array): { epoch: number; wrapped: Uint8Array } {
  const { type, body } = decodeRecord(record);
  if (type !== RecordType.SESSION) throw damaged(`it is of type ${type}`);
  const reader = new ByteReader(body);
  try {
    const [epoch, wrapped] = [reader.u32(), reader.bytes(WRAPPED_BYTES)];
    reader.end();
    return { epoch, wrapped };
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("wrong size");
    throw cause;
  }
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot open session: ${state}`);
}
