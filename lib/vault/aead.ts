/** AES-256-GCM with WebCrypto, which works off the JavaScript thread. The tag follows the ciphertext. */
import { DamagedError } from "../errors.ts";

export const AEAD_KEY_BYTES = 32;
export const NONCE_BYTES = 12;
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

function importKey(key: Uint8Array, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  if (key.length !== AEAD_KEY_BYTES) throw new RangeError(`Key of ${key.length} bytes, not 32`);
  return crypto.subtle.importKey("raw", owned(key), "AES-GCM", false, [usage]);
}

/** WebCrypto's types want bytes that no other thread shares; ours never are. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}
