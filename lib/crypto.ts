/**
 * Cryptography of protocol version 3 (docs/protocol.md, "Cryptography"): RSA-1024 OAEP for the session key,
 * AES-128-CBC for files. WebCrypto throughout, which also works off the JavaScript thread; `node:crypto` only draws
 * the key pair, because WebCrypto refuses the public exponent 17 that the protocol's field sizes need.
 * The algorithms are the protocol's, not our choice: docs/threat-model.md says what they are worth.
 */
import { generateKeyPair } from "node:crypto";
import { DamagedError } from "./errors.ts";

const RSA = { name: "RSA-OAEP", hash: "SHA-1" } as const;
const RSA_BITS = 1024;
const PUBLIC_EXPONENT = 17;
export const AES_KEY_BYTES = 16;
export const AES_BLOCK_BYTES = 16;

/** An RSA-1024 key pair in DER: SubjectPublicKeyInfo (160 bytes) and PKCS#8 (about 633 bytes). */
export interface RsaKeyPair {
  publicKey: Uint8Array<ArrayBuffer>;
  privateKey: Uint8Array<ArrayBuffer>;
}

export function generateRsaKeyPair(): Promise<RsaKeyPair> {
  return new Promise((resolve, reject) => {
    generateKeyPair("rsa", {
      modulusLength: RSA_BITS,
      publicExponent: PUBLIC_EXPONENT,
      publicKeyEncoding: { type: "spki", format: "der" },
      privateKeyEncoding: { type: "pkcs8", format: "der" },
    }, (error, publicKey, privateKey) => {
      if (error) reject(error);
      else {
        resolve({ publicKey: new Uint8Array(publicKey), privateKey: new Uint8Array(privateKey) });
      }
    });
  });
}

/**
 * The public half of a private key, both DER.
 *
 * @throws {DamagedError} if it is not an RSA private key in PKCS#8
 */
export async function derivePublicKey(privateKey: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const key = await importPrivateKey(privateKey, { extractable: true });
  const { kty, n, e } = await crypto.subtle.exportKey("jwk", key);
  const publicJwk = { kty, n, e } as JsonWebKey;
  const publicKey = await crypto.subtle.importKey("jwk", publicJwk, RSA, true, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
}

/**
 * Encrypts a session key to a client.
 *
 * @param publicKey SubjectPublicKeyInfo, DER, of a 1024-bit key; zero bytes after it are ignored
 * @returns 128 bytes
 * @throws {DamagedError} if it is not such a key
 */
export async function encryptSessionKey(
  publicKey: Uint8Array,
  sessionKey: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const der = new Uint8Array(trimDer(publicKey));
    const key = await crypto.subtle.importKey("spki", der, RSA, false, ["encrypt"]);
    if ((key.algorithm as RsaHashedKeyAlgorithm).modulusLength !== RSA_BITS) {
      throw new RangeError(`not a key of ${RSA_BITS} bits`);
    }
    return new Uint8Array(await crypto.subtle.encrypt(RSA, key, sessionKey));
  } catch (cause) {
    throw new DamagedError("Cannot use public key: not an RSA key of 1024 bits", { cause });
  }
}

/**
 * Decrypts the session key that a server sent.
 *
 * @throws {DamagedError} if it was not encrypted to this private key, or is not an AES-128 key
 */
export async function decryptSessionKey(
  privateKey: Uint8Array,
  encryptedKey: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await importPrivateKey(privateKey, { extractable: false });
  let sessionKey: Uint8Array<ArrayBuffer>;
  try {
    const plain = await crypto.subtle.decrypt(RSA, key, new Uint8Array(encryptedKey));
    sessionKey = new Uint8Array(plain);
  } catch (cause) {
    throw new DamagedError("Cannot decrypt session key: it is not for this private key", { cause });
  }
  if (sessionKey.length !== AES_KEY_BYTES) {
    throw new DamagedError(`Cannot use session key: ${sessionKey.length} bytes instead of 16`);
  }
  return sessionKey;
}

export function drawSessionKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(AES_KEY_BYTES));
}

/** Encrypts a file a piece at a time: AES-128-CBC, zero IV, PKCS#7 padding after the last piece. */
export class CbcEncryptor {
  readonly #key: CryptoKey;
  #iv = new Uint8Array(AES_BLOCK_BYTES);

  private constructor(key: CryptoKey) {
    this.#key = key;
  }

  static async create(sessionKey: Uint8Array<ArrayBuffer>): Promise<CbcEncryptor> {
    return new CbcEncryptor(await importAesKey(sessionKey));
  }

  /** Ciphertext of a piece, whose size is a multiple of 16. Calls must not overlap. */
  async update(plain: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkBlocks(plain);
    if (plain.length === 0) return plain;
    // WebCrypto pads every message. The block of padding is cut off, and the block before it is the
    // next IV, so that the pieces join to one message.
    const padded = await this.#encrypt(plain);
    const cipher = padded.subarray(0, plain.length);
    this.#iv = cipher.slice(-AES_BLOCK_BYTES);
    return cipher;
  }

  /** Ciphertext of the last piece, of any size, with the padding. */
  finish(plain: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return this.#encrypt(plain);
  }

  async #encrypt(plain: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const algorithm = { name: "AES-CBC", iv: this.#iv };
    return new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#key, plain));
  }
}

/** Decrypts what {@link CbcEncryptor} makes, in pieces cut anywhere at multiples of 16. */
export class CbcDecryptor {
  readonly #key: CryptoKey;
  #iv = new Uint8Array(AES_BLOCK_BYTES);

  private constructor(key: CryptoKey) {
    this.#key = key;
  }

  static async create(sessionKey: Uint8Array<ArrayBuffer>): Promise<CbcDecryptor> {
    return new CbcDecryptor(await importAesKey(sessionKey));
  }

  /**
   * Plaintext of a piece that is not the last; its size is a multiple of 16. The piece is copied before the call
   * returns. Calls must not overlap.
   */
  async update(cipher: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    checkBlocks(cipher);
    if (cipher.length === 0) return new Uint8Array(0);
    const padded = new Uint8Array(cipher.length + AES_BLOCK_BYTES);
    padded.set(cipher);
    const iv = this.#iv;
    this.#iv = cipher.slice(-AES_BLOCK_BYTES);
    // WebCrypto wants padding at the end of every message. A block that continues this one and holds
    // nothing but padding is what the encryption of nothing gives, with this piece's end as IV.
    const padding = await this.#crypt("encrypt", { iv: this.#iv, bytes: new Uint8Array(0) });
    padded.set(padding, cipher.length);
    return await this.#crypt("decrypt", { iv, bytes: padded });
  }

  /**
   * Plaintext of the last piece, at least one block, without its padding.
   *
   * @throws {DamagedError} if the padding is wrong: another key, or changed ciphertext
   */
  async finish(cipher: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    checkBlocks(cipher);
    if (cipher.length === 0) throw new RangeError("The last piece must hold the padding");
    try {
      return await this.#crypt("decrypt", { iv: this.#iv, bytes: new Uint8Array(cipher) });
    } catch (cause) {
      throw new DamagedError("Cannot decrypt file: wrong padding", { cause });
    }
  }

  async #crypt(
    operation: "encrypt" | "decrypt",
    { iv, bytes }: { iv: Uint8Array<ArrayBuffer>; bytes: Uint8Array<ArrayBuffer> },
  ): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(
      await crypto.subtle[operation]({ name: "AES-CBC", iv }, this.#key, bytes),
    );
  }
}

function importAesKey(sessionKey: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", sessionKey, "AES-CBC", false, ["encrypt", "decrypt"]);
}

async function importPrivateKey(
  privateKey: Uint8Array,
  { extractable }: { extractable: boolean },
): Promise<CryptoKey> {
  try {
    const der = new Uint8Array(privateKey);
    return await crypto.subtle.importKey("pkcs8", der, RSA, extractable, ["decrypt"]);
  } catch (cause) {
    throw new DamagedError("Cannot use private key: not an RSA key in PKCS#8", { cause });
  }
}

/** Cuts off what stands behind a DER value: fields of fixed size are padded. */
function trimDer(bytes: Uint8Array): Uint8Array {
  const LONG_FORM = 0x80;
  const first = bytes[1] ?? 0;
  if (first < LONG_FORM) return bytes.subarray(0, 2 + first);
  const lengthBytes = first - LONG_FORM;
  if (lengthBytes > 2) return bytes;
  let size = 2 + lengthBytes;
  let content = 0;
  for (let i = 0; i < lengthBytes; i++) content = content * 256 + (bytes[2 + i] ?? 0);
  size += content;
  return bytes.subarray(0, size);
}

function checkBlocks(bytes: Uint8Array): void {
  if (bytes.length % AES_BLOCK_BYTES !== 0) {
    throw new RangeError(`Piece of ${bytes.length} bytes is not a multiple of 16`);
  }
}
