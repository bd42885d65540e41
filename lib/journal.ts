/**
 * Events of a vault's journal (docs/format.md, "Journal"): a device makes and signs a *statement*; the
 * server gives it a place (number, hash of the event before it, time), and both together are the
 * event. What the events of a journal add up to is in `journal_state.ts`.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, TruncatedError } from "./bytes.ts";
import { DamagedError, type ErrorDetails } from "./errors.ts";
import { ED25519_PUBLIC_BYTES, SIGNER_ID_BYTES } from "./identity.ts";
import { VAULT } from "./limits.ts";

const EVENT_VERSION = 1;
const EVENT_LABEL = "holdfast/4 event";
const INVITE_LABEL = "holdfast/4 invite";
const CODE_LABEL = "holdfast/4 recovery";
export const EVENT_HASH_BYTES = 32;
export const SIGNATURE_BYTES = 64;
/** Version 1, number 8, previous 32, time 8. */
const PLACE_BYTES = 1 + 8 + EVENT_HASH_BYTES + 8;
/** Kind 1, signer 16, seen 8 + 32, size of the body 4. */
const STATEMENT_PREFIX_BYTES = 1 + SIGNER_ID_BYTES + 8 + EVENT_HASH_BYTES + 4;

export const EventKind = {
  FOUND: 1,
  DEVICE: 2,
  REVOKE: 3,
  KEYS: 4,
  SLOT: 5,
  COMMIT: 6,
  FORGET: 7,
  UNFORGET: 8,
  POLICY: 9,
  DROP: 10,
  RECOVERY: 11,
  RESTORE: 12,
  DRILL: 13,
} as const;
export type EventKind = typeof EventKind[keyof typeof EventKind];
const KIND_MAX = Math.max(...Object.values(EventKind));

/** One point of a journal: the number and the hash of an event. Number 0, zeros: before the first. */
export interface JournalPoint {
  number: number;
  /** 32 bytes. */
  hash: Uint8Array;
}

/** What a device says and signs. */
export interface Statement {
  kind: EventKind;
  /** Id of the device, recovery code or invite that signs; zeros for the server's own. 16 bytes. */
  signer: Uint8Array;
  /** The newest event that the signer knows. */
  seen: JournalPoint;
  body: Uint8Array;
  /** 64 bytes; zeros for the server's own. */
  signature: Uint8Array;
}

/** Where the server puts a statement. */
export interface EventPlace {
  /** 1 for the first event. */
  number: number;
  /** Hash of the event before it; zeros for the first. */
  previous: Uint8Array;
  /** Server's clock, milliseconds since 1970, never less than that of the event before it. */
  timeMs: number;
}

export interface JournalEvent extends EventPlace, Statement {
  /** SHA-256 of the event's bytes. */
  hash: Uint8Array;
}

/**
 * What is wrong with a journal. `cut`, `chain` and `seen`: the server shows a false history. `code`: it names a
 * recovery code that has not agreed to it.
 */
export type JournalFault =
  | "malformed"
  | "cut"
  | "chain"
  | "seen"
  | "stale"
  | "signature"
  | "code"
  | "refused"
  | "impossible";

/** A journal, or a statement for it, that must not be believed. */
export class JournalError extends DamagedError {
  override name = "JournalError";
  readonly fault: JournalFault;

  constructor(fault: JournalFault, message: string, details: ErrorDetails = {}) {
    super(message, details);
    this.fault = fault;
  }
}

/** Whether the server adds events of this kind, unsigned; all others are signed. */
export function isServersOwn(kind: EventKind): boolean {
  return kind === EventKind.DROP || kind === EventKind.RESTORE;
}

/** Makes a signature, 64 bytes, with the key whose id stands in the statement. */
export type Signer = (message: Uint8Array<ArrayBuffer>) => Promise<Uint8Array> | Uint8Array;

/** Before the first event. */
export const JOURNAL_START: JournalPoint = { number: 0, hash: new Uint8Array(EVENT_HASH_BYTES) };

/** A statement as a device sends it, signed. */
export async function signStatement(
  statement: Omit<Statement, "signature">,
  { vaultId, sign }: { vaultId: Uint8Array; sign: Signer },
): Promise<Uint8Array<ArrayBuffer>> {
  const signature = await sign(signedMessage(statement, vaultId));
  return encodeStatement({ ...statement, signature });
}

/** The bytes that a statement's signature covers. */
export function signedMessage(
  { kind, signer, seen, body }: Omit<Statement, "signature">,
  vaultId: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const fields = new ByteWriter(1 + 8).u8(kind).u64(seen.number).done();
  return joinFields(EVENT_LABEL, vaultId, fields, signer, seen.hash, body);
}

/** The bytes that an owner signs to let whoever holds the invite's key add one device. */
export function inviteMessage(
  grant: { owner: Uint8Array; role: number; expiresMs: number; publicKey: Uint8Array },
  vaultId: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const fields = new ByteWriter(1 + 8).u8(grant.role).u64(grant.expiresMs).done();
  return joinFields(INVITE_LABEL, vaultId, fields, grant.owner, grant.publicKey);
}

/** The bytes that a recovery code signs to come into a vault. The body is without that signature. */
export function codeMessage(
  { kind, signer, seen, body }: Omit<Statement, "signature">,
  vaultId: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const fields = new ByteWriter(1 + 8).u8(kind).u64(seen.number).done();
  return joinFields(CODE_LABEL, vaultId, fields, signer, seen.hash, body);
}

export function encodeStatement(statement: Statement): Uint8Array<ArrayBuffer> {
  const { kind, signer, seen, body, signature } = statement;
  return new ByteWriter(STATEMENT_PREFIX_BYTES + body.length + SIGNATURE_BYTES)
    .u8(kind).bytes(sized(signer, SIGNER_ID_BYTES)).u64(seen.number)
    .bytes(sized(seen.hash, EVENT_HASH_BYTES)).u32(body.length).bytes(body)
    .bytes(sized(signature, SIGNATURE_BYTES)).done();
}

/** @throws {JournalError} `malformed` */
export function decodeStatement(bytes: Uint8Array): Statement {
  return decodeBounded(bytes, "statement", readStatement);
}

/** The server's part: gives a statement its place. */
export function encodeEvent(place: EventPlace, statement: Uint8Array): Uint8Array<ArrayBuffer> {
  const prefix = new ByteWriter(PLACE_BYTES).u8(EVENT_VERSION).u64(place.number)
    .bytes(sized(place.previous, EVENT_HASH_BYTES)).u64(place.timeMs).done();
  return concatBytes(prefix, statement);
}

/**
 * Takes an event apart; checks nothing but its shape.
 *
 * @throws {JournalError} `malformed`
 */
export function decodeEvent(bytes: Uint8Array): JournalEvent {
  return decodeBounded(bytes, "event", (reader) => {
    const version = reader.u8();
    if (version !== EVENT_VERSION) throw new RangeError(`unknown version ${version}`);
    const number = reader.u64();
    const previous = reader.bytes(EVENT_HASH_BYTES);
    const timeMs = reader.u64();
    return { number, previous, timeMs, ...readStatement(reader), hash: eventHash(bytes) };
  });
}

/** SHA-256 of an event's bytes: what the next event holds. */
export function eventHash(event: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(event).digest());
}

/** The vault's id: SHA-256 of the body of its found event. */
export function vaultIdOf(foundBody: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(foundBody).digest());
}

/** An Ed25519 public key (32 bytes) for {@link verifySignature}. */
export function importVerifier(publicKey: Uint8Array): KeyObject {
  const x = sized(publicKey, ED25519_PUBLIC_BYTES).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}

/** Whether an Ed25519 signature is right (RFC 8032). */
export function verifySignature(
  message: Uint8Array,
  { verifier, signature }: { verifier: KeyObject; signature: Uint8Array },
): boolean {
  return verify(null, message, verifier, signature);
}

/** Each field with its size (4 bytes) before it, so that no two lists of fields give equal bytes. */
function joinFields(label: string, ...fields: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = [new TextEncoder().encode(label), ...fields];
  const writer = new ByteWriter(all.reduce((size, field) => size + 4 + field.length, 0));
  for (const field of all) writer.u32(field.length).bytes(field);
  return writer.done();
}

function readStatement(reader: ByteReader): Statement {
  const kind = reader.u8();
  if (kind < EventKind.FOUND || kind > KIND_MAX) {
    throw new RangeError(`unknown kind ${kind}`);
  }
  const signer = reader.bytes(SIGNER_ID_BYTES);
  const seen = { number: reader.u64(), hash: reader.bytes(EVENT_HASH_BYTES) };
  const body = reader.bytes(reader.u32());
  const signature = reader.bytes(SIGNATURE_BYTES);
  return { kind: kind as EventKind, signer, seen, body, signature };
}

function decodeBounded<T>(bytes: Uint8Array, what: string, read: (reader: ByteReader) => T): T {
  if (bytes.length > VAULT.eventBytesMax) {
    throw new JournalError("malformed", `Cannot decode ${what}: ${bytes.length} bytes`);
  }
  try {
    const reader = new ByteReader(bytes);
    const value = read(reader);
    reader.end();
    return value;
  } catch (cause) {
    if (cause instanceof TruncatedError || cause instanceof RangeError) {
      throw new JournalError("malformed", `Cannot decode ${what}: bad fields`, { cause });
    }
    throw cause;
  }
}

function sized(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw new RangeError(`Field of ${bytes.length} bytes, not ${size}`);
  return bytes;
}
