/**
 * Who a vault knows (docs/format.md, "Keys"): public keys of devices, of readers and of the recovery
 * code, as they stand in the journal, and the ids that follow from them. All fields have fixed sizes.
 */
import { createHash } from "node:crypto";
import { ByteReader, concatBytes } from "./bytes.ts";

/** SubjectPublicKeyInfo of an RSA-3072 key with the public exponent 65537, DER. */
export const RSA_PUBLIC_BYTES = 422;
/** Encapsulation key of ML-KEM-768 (FIPS 203). */
export const KEM_PUBLIC_BYTES = 1184;
export const ED25519_PUBLIC_BYTES = 32;
export const X25519_PUBLIC_BYTES = 32;
export const READ_KEY_BYTES = RSA_PUBLIC_BYTES + KEM_PUBLIC_BYTES;
export const DEVICE_KEYS_BYTES = READ_KEY_BYTES + ED25519_PUBLIC_BYTES;
export const RECOVERY_KEYS_BYTES = X25519_PUBLIC_BYTES + KEM_PUBLIC_BYTES + ED25519_PUBLIC_BYTES;
/** Size of the id of a device, of a recovery code and of an invite. */
export const SIGNER_ID_BYTES = 16;

/** What a device may do in a vault. Each role may do all that the roles before it may. */
export const Role = { WRITER: 1, READER: 2, OWNER: 3 } as const;
export type Role = typeof Role[keyof typeof Role];

/** The public half of a vault's read key: what session keys are wrapped to. */
export interface ReadKey {
  /** 422 bytes. */
  rsa: Uint8Array;
  /** 1184 bytes. */
  kem: Uint8Array;
}

/** The public keys of a device. RSA for login; RSA and ML-KEM for slots; Ed25519 for signatures. */
export interface DeviceKeys extends ReadKey {
  /** 32 bytes. */
  ed25519: Uint8Array;
}

/** The public keys that follow from a recovery code. */
export interface RecoveryKeys {
  x25519: Uint8Array;
  kem: Uint8Array;
  ed25519: Uint8Array;
}

export function isRole(value: number): value is Role {
  return value >= Role.WRITER && value <= Role.OWNER;
}

/** 1606 bytes: RSA, ML-KEM. */
export function encodeReadKey(key: ReadKey): Uint8Array<ArrayBuffer> {
  return fixed(concatBytes(key.rsa, key.kem), READ_KEY_BYTES);
}

export function readReadKey(reader: ByteReader): ReadKey {
  return { rsa: reader.bytes(RSA_PUBLIC_BYTES), kem: reader.bytes(KEM_PUBLIC_BYTES) };
}

/** 1638 bytes: RSA, ML-KEM, Ed25519. */
export function encodeDeviceKeys(keys: DeviceKeys): Uint8Array<ArrayBuffer> {
  return fixed(concatBytes(keys.rsa, keys.kem, keys.ed25519), DEVICE_KEYS_BYTES);
}

export function readDeviceKeys(reader: ByteReader): DeviceKeys {
  return { ...readReadKey(reader), ed25519: reader.bytes(ED25519_PUBLIC_BYTES) };
}

/** 1248 bytes: X25519, ML-KEM, Ed25519. */
export function encodeRecoveryKeys(keys: RecoveryKeys): Uint8Array<ArrayBuffer> {
  return fixed(concatBytes(keys.x25519, keys.kem, keys.ed25519), RECOVERY_KEYS_BYTES);
}

export function readRecoveryKeys(reader: ByteReader): RecoveryKeys {
  return {
    x25519: reader.bytes(X25519_PUBLIC_BYTES),
    kem: reader.bytes(KEM_PUBLIC_BYTES),
    ed25519: reader.bytes(ED25519_PUBLIC_BYTES),
  };
}

/** The id of a device: it cannot be had with other keys. 16 bytes. */
export function deviceId(keys: DeviceKeys): Uint8Array<ArrayBuffer> {
  return signerId(encodeDeviceKeys(keys));
}

/** The id of a recovery code, also the locator that finds its vault. 16 bytes. */
export function recoveryId(keys: RecoveryKeys): Uint8Array<ArrayBuffer> {
  return signerId(encodeRecoveryKeys(keys));
}

/** The id of an invite, from its Ed25519 public key. 16 bytes. */
export function inviteId(publicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  return signerId(fixed(publicKey, ED25519_PUBLIC_BYTES));
}

function signerId(encodedKeys: Uint8Array): Uint8Array<ArrayBuffer> {
  const hash = createHash("sha256").update(encodedKeys).digest();
  return new Uint8Array(hash).slice(0, SIGNER_ID_BYTES);
}

function fixed<T extends Uint8Array>(bytes: T, size: number): T {
  if (bytes.length !== size) throw new RangeError(`Keys of ${bytes.length} bytes, not ${size}`);
  return bytes;
}
