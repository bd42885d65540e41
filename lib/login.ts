/**
 * Login of version 4 (docs/format.md, "Login"): the server encrypts a secret to the device's RSA key,
 * and the device proves that it could decrypt it. A recovery code, which has no RSA key, signs instead.
 */
import { timingSafeEqual } from "node:crypto";
import { ByteWriter } from "./bytes.ts";
import { DamagedError, RefusedError } from "./errors.ts";
import { SIGNER_ID_BYTES } from "./identity.ts";
import { hmac } from "./kdf.ts";

const OAEP = { name: "RSA-OAEP", hash: "SHA-256" } as const;
const RSA_BITS = 3072;
const LOGIN_LABEL = new TextEncoder().encode("holdfast/4 login");
export const LOGIN_SECRET_BYTES = 32;
export const PIN_BYTES = 32;
export const NONCE_BYTES = 32;
/** Size of a secret encrypted to a device. */
export const ENCRYPTED_SECRET_BYTES = RSA_BITS / 8;

/** What a proof is about. */
export interface LoginChallenge {
  /** SHA-256 of the server's public key, as the client sees it. 32 bytes. */
  pin: Uint8Array;
  /** Id of the device, or the locator of a recovery code. 16 bytes. */
  signer: Uint8Array;
  /** Drawn by the server for this connection. 32 bytes. */
  nonce: Uint8Array;
}

/** An RSA public key of a device, from its DER, for {@link encryptLoginSecret} and for wrapping. */
export async function importRsaPublicKey(spki: Uint8Array): Promise<CryptoKey> {
  try {
    const der = new Uint8Array(spki);
    const key = await crypto.subtle.importKey("spki", der, OAEP, true, ["encrypt"]);
    if ((key.algorithm as RsaHashedKeyAlgorithm).modulusLength !== RSA_BITS) {
      throw new RangeError(`not of ${RSA_BITS} bits`);
    }
    return key;
  } catch (cause) {
    throw new DamagedError("Cannot use public key: not an RSA key of 3072 bits", { cause });
  }
}

/** The server's question: a secret of 32 bytes, which only this device can read. 384 bytes. */
export async function encryptLoginSecret(
  publicKey: CryptoKey,
  secret: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "RSA-OAEP", label: LOGIN_LABEL };
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, publicKey, secret));
}

/** @throws {RefusedError} if it was not encrypted to this device */
export async function decryptLoginSecret(
  privateKey: CryptoKey,
  encrypted: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const algorithm = { name: "RSA-OAEP", label: LOGIN_LABEL };
    const plain = await crypto.subtle.decrypt(algorithm, privateKey, new Uint8Array(encrypted));
    if (plain.byteLength !== LOGIN_SECRET_BYTES) throw new RangeError("not of 32 bytes");
    return new Uint8Array(plain);
  } catch (cause) {
    throw new RefusedError("Cannot log in: the server's question is not for this device", {
      cause,
    });
  }
}

/** The bytes that a proof covers; a recovery code signs them with its Ed25519 key. */
export function loginMessage(challenge: LoginChallenge): Uint8Array<ArrayBuffer> {
  const { pin, signer, nonce } = challenge;
  if (pin.length !== PIN_BYTES || signer.length !== SIGNER_ID_BYTES) {
    throw new RangeError("Pin or id of a wrong size");
  }
  if (nonce.length !== NONCE_BYTES) throw new RangeError("Nonce of a wrong size");
  return new ByteWriter(LOGIN_LABEL.length + PIN_BYTES + SIGNER_ID_BYTES + NONCE_BYTES)
    .bytes(LOGIN_LABEL).bytes(pin).bytes(signer).bytes(nonce).done();
}

/** The device's answer. The pin in it makes it worthless to any other server. 32 bytes. */
export function proveLogin(secret: Uint8Array, challenge: LoginChallenge): Uint8Array<ArrayBuffer> {
  return hmac(secret, loginMessage(challenge));
}

/** Whether a proof is right, in constant time. */
export function checkLogin(
  secret: Uint8Array,
  { challenge, proof }: { challenge: LoginChallenge; proof: Uint8Array },
): boolean {
  const right = proveLogin(secret, challenge);
  return proof.length === right.length && timingSafeEqual(proof, right);
}
