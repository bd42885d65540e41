/**
 * Messages of protocol version 4 before a device is logged in, and the login answer (docs/protocol_v4.md, "Login" and
 * "Invites"). Codecs as in `protocol_v4.ts`.
 */
import { ByteWriter, concatBytes } from "./bytes.ts";
import { SIGNER_ID_BYTES } from "./identity.ts";
import { VAULT, WIRE } from "./limits.ts";
import { ENCRYPTED_SECRET_BYTES, NONCE_BYTES } from "./login.ts";
import { atMost, decodeAll, exactly } from "./protocol_v4.ts";

export const TOKEN_BYTES = 32;
/** HMAC-SHA-256. */
export const DEVICE_PROOF_BYTES = 32;
/** An Ed25519 signature. */
export const RECOVERY_PROOF_BYTES = 64;
export const VAULT_ID_BYTES = 32;
const HASH_BYTES = 32;

/** As what somebody logs in: with a device's RSA key, or with a recovery code's Ed25519 key. */
export const LoginKind = { DEVICE: 1, RECOVERY: 2 } as const;
export type LoginKind = typeof LoginKind[keyof typeof LoginKind];

/** Role in the login answer of somebody who proved the recovery code; devices have 1 to 3. */
export const RECOVERY_ROLE = 0;
const ROLE_MAX = 3;

/** Request HELLO. A device also names its vault, so that nobody can draw it into another one. */
export type Hello =
  | { kind: typeof LoginKind.DEVICE; id: Uint8Array; vaultId: Uint8Array }
  | { kind: typeof LoginKind.RECOVERY; id: Uint8Array };

/** Answer CHALLENGE. */
export interface Challenge {
  /** 32 bytes. */
  nonce: Uint8Array;
  /** The login secret, encrypted to the device's RSA key: 384 bytes; empty for a recovery code. */
  cipher: Uint8Array;
}

/** Answer WELCOME. */
export interface Welcome {
  vaultId: Uint8Array;
  /** The device's role in the journal, or {@link RECOVERY_ROLE}. */
  role: number;
  /** The newest event. */
  headNumber: number;
  headHash: Uint8Array;
  /** Server's clock, milliseconds since 1970. */
  timeMs: number;
  limits: {
    /** The server stops reading while more bytes of PUTs than this wait to be durable. */
    windowBytes: number;
    /** Without a request for this long the server ends the connection, in milliseconds: PING. */
    idleMs: number;
  };
}

/** Requests FOUND and JOIN: a one-time token, and the statement that starts a vault or adds a device. */
export interface Enrolment {
  token: Uint8Array;
  statement: Uint8Array;
}

export function encodeHello(hello: Hello): Uint8Array<ArrayBuffer> {
  const prefix = Uint8Array.of(hello.kind, ...exactly(hello.id, SIGNER_ID_BYTES));
  if (hello.kind === LoginKind.RECOVERY) return prefix;
  return concatBytes(prefix, exactly(hello.vaultId, VAULT_ID_BYTES));
}

export function decodeHello(bytes: Uint8Array): Hello {
  return decodeAll(bytes, (reader) => {
    const kind = reader.u8();
    const id = reader.bytes(SIGNER_ID_BYTES);
    if (kind === LoginKind.RECOVERY) return { kind, id };
    if (kind !== LoginKind.DEVICE) throw new RangeError(`unknown kind ${kind}`);
    return { kind, id, vaultId: reader.bytes(VAULT_ID_BYTES) };
  });
}

export function encodeChallenge({ nonce, cipher }: Challenge): Uint8Array<ArrayBuffer> {
  if (cipher.length !== 0) exactly(cipher, ENCRYPTED_SECRET_BYTES);
  return concatBytes(exactly(nonce, NONCE_BYTES), cipher);
}

export function decodeChallenge(bytes: Uint8Array): Challenge {
  return decodeAll(bytes, (reader) => {
    const nonce = reader.bytes(NONCE_BYTES);
    return { nonce, cipher: reader.bytes(reader.remaining === 0 ? 0 : ENCRYPTED_SECRET_BYTES) };
  });
}

/** Request PROVE: what `login.ts` makes for a device, 32 bytes, or a recovery code's signature, 64. */
export function decodeProof(bytes: Uint8Array, kind: LoginKind): Uint8Array {
  const size = kind === LoginKind.DEVICE ? DEVICE_PROOF_BYTES : RECOVERY_PROOF_BYTES;
  return decodeAll(bytes, (reader) => reader.bytes(size));
}

export function encodeWelcome(welcome: Welcome): Uint8Array<ArrayBuffer> {
  const { windowBytes, idleMs } = welcome.limits;
  return new ByteWriter(VAULT_ID_BYTES + 1 + 8 + HASH_BYTES + 8 + 4 + 4)
    .bytes(exactly(welcome.vaultId, VAULT_ID_BYTES)).u8(welcome.role)
    .u64(welcome.headNumber).bytes(exactly(welcome.headHash, HASH_BYTES))
    .u64(welcome.timeMs).u32(windowBytes).u32(idleMs).done();
}

export function decodeWelcome(bytes: Uint8Array): Welcome {
  return decodeAll(bytes, (reader) => ({
    vaultId: reader.bytes(VAULT_ID_BYTES),
    role: atMost(reader.u8(), ROLE_MAX),
    headNumber: reader.u64(),
    headHash: reader.bytes(HASH_BYTES),
    timeMs: reader.u64(),
    limits: { windowBytes: reader.u32(), idleMs: reader.u32() },
  }));
}

export function encodeEnrolment({ token, statement }: Enrolment): Uint8Array<ArrayBuffer> {
  return concatBytes(exactly(token, TOKEN_BYTES), statement);
}

export function decodeEnrolment(bytes: Uint8Array): Enrolment {
  return decodeAll(bytes, (reader) => {
    const token = reader.bytes(TOKEN_BYTES);
    atMost(reader.remaining, VAULT.eventBytesMax);
    return { token, statement: reader.rest() };
  });
}

/** Request FETCH_INVITE. */
export function encodeToken(token: Uint8Array): Uint8Array<ArrayBuffer> {
  return new ByteWriter(TOKEN_BYTES).bytes(exactly(token, TOKEN_BYTES)).done();
}

export function decodeToken(bytes: Uint8Array): Uint8Array {
  return decodeAll(bytes, (reader) => reader.bytes(TOKEN_BYTES));
}

/** Answer BUNDLE: what the owner uploaded with the invite, as it came. */
export function decodeBundle(bytes: Uint8Array): Uint8Array {
  atMost(bytes.length, WIRE.bundleBytesMax);
  return bytes;
}
