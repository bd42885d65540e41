/**
 * Authenticated encryption (docs/format.md, "Notation"); the tag follows the ciphertext. AES-256-GCM with WebCrypto for
 * keys, names and roots. ChaCha20-Poly1305 with `node:crypto` for what there is much of: it answers at once, and does
 * 2 GB/s where the other does 0.7 (bench/README.md, "The cipher").
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { DamagedError } from "../errors.ts";

export const AEAD_KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
const CHACHA = "chacha20-poly1305";
/** For keys that ever seal one message only. */
export const ZERO_NONCE: Uint8Array<ArrayBuffer> = new Uint8Array(NONCE_BYTES);

/** What goes with key and message: `covered` is authenticated, not hidden. */
export interface AeadContext {
  nonce: Uint8Array;
  covered: Uint8Array;
}

/** Ciphertext and tag: 16 bytes more than the plaintext. */
export async function encryptAead(
  key: Uint8Array,
  { nonce, covered, plaintext }: AeadContext & { plaintext: Uint8Array },
): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "AES-GCM", iv: owned(nonce), additionalData: owned(covered) };
  const cryptoKey = await importKey(key, "encrypt");
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, cryptoKey, owned(plaintext)));
}

/**
 * The plaintext.
 *
 * @param what what is opened, for the error message
 * @throws {DamagedError} if a bit of it has changed, or the key is another
 */
export async function decryptAead(
  key: Uint8Array,
  { nonce, covered, ciphertext, what }: AeadContext & { ciphertext: Uint8Array; what: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "AES-GCM", iv: owned(nonce), additionalData: owned(covered) };
  const cryptoKey = await importKey(key, "decrypt");
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, cryptoKey, owned(ciphertext)));
  } catch (cause) {
    throw new DamagedError(`Cannot open ${what}: wrong key or changed bytes`, { cause });
  }
}

/** ChaCha20-Poly1305 (RFC 8439) of the parts, one after another: the ciphertext of each, and the tag. */
export function encryptChaCha(
  key: Uint8Array,
  { nonce, covered, parts }: AeadContext & { parts: Uint8Array[] },
): Uint8Array[] {
  const cipher = createCipheriv(CHACHA, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(covered, { plaintextLength: parts.reduce((size, part) => size + part.length, 0) });
  const pieces: Uint8Array[] = parts.map((part) => cipher.update(part));
  cipher.final();
  pieces.push(cipher.getAuthTag());
  return pieces;
}

/**
 * What {@link encryptChaCha} sealed, alone in its buffer.
 *
 * @param what what is opened, for the error message
 * @throws {DamagedError} if a bit of it has changed, or the key is another
 */
export function decryptChaCha(
  key: Uint8Array,
  { nonce, covered, ciphertext, what }: AeadContext & { ciphertext: Uint8Array; what: string },
): Uint8Array<ArrayBuffer> {
  const end = ciphertext.length - TAG_BYTES;
  if (end < 0) throw new DamagedError(`Cannot open ${what}: cut short`);
  const decipher = createDecipheriv(CHACHA, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(covered, { plaintextLength: end });
  decipher.setAuthTag(ciphertext.subarray(end));
  const plaintext = decipher.update(ciphertext.subarray(0, end));
  try {
    decipher.final();
  } catch (cause) {
    throw new DamagedError(`Cannot open ${what}: wrong key or changed bytes`, { cause });
  }
  return ownBuffer(plaintext);
}

/** The bytes alone in their buffer, so that it may be given back: the runtime lays small ones into one that many share. */
function ownBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length;
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

function importKey(key: Uint8Array, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  if (key.length !== AEAD_KEY_BYTES) throw new RangeError(`Key of ${key.length} bytes, not 32`);
  return crypto.subtle.importKey("raw", owned(key), "AES-GCM", false, [usage]);
}

/** WebCrypto's types want bytes that no other thread shares; ours never are. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}
