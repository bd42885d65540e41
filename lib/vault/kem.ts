/**
 * ML-KEM-768 (FIPS 203) as WebCrypto has it. The runtime's type declarations do not know these calls
 * yet; this file is the only one that has to say so.
 */

/** Encapsulation key. */
const PUBLIC_FORMAT = "raw-public";
/** The 64 bytes d || z from which the whole key pair follows. */
const PRIVATE_FORMAT = "raw-seed";
const ALGORITHM = "ML-KEM-768";
export const KEM_SEED_BYTES = 64;
export const KEM_CIPHERTEXT_BYTES = 1088;

interface KemSubtle {
  generateKey(algorithm: string, extractable: boolean, usages: string[]): Promise<CryptoKeyPair>;
  importKey(
    format: string,
    bytes: Uint8Array,
    algorithm: string,
    extractable: boolean,
    usages: string[],
  ): Promise<CryptoKey>;
  exportKey(format: string, key: CryptoKey): Promise<ArrayBuffer>;
  getPublicKey(key: CryptoKey, usages: string[]): Promise<CryptoKey>;
  encapsulateBits(
    algorithm: string,
    key: CryptoKey,
  ): Promise<{ ciphertext: ArrayBuffer; sharedKey: ArrayBuffer }>;
  decapsulateBits(
    algorithm: string,
    key: CryptoKey,
    ciphertext: Uint8Array,
  ): Promise<ArrayBuffer>;
}

const subtle = crypto.subtle as unknown as KemSubtle;

/** A new key pair, as its seed. 64 bytes. */
export async function generateKemSeed(): Promise<Uint8Array<ArrayBuffer>> {
  const pair = await subtle.generateKey(ALGORITHM, true, ["encapsulateBits", "decapsulateBits"]);
  return new Uint8Array(await subtle.exportKey(PRIVATE_FORMAT, pair.privateKey));
}

/** @returns the private key, and the public one as bytes (1184) */
export async function importKemSeed(
  seed: Uint8Array,
): Promise<{ privateKey: CryptoKey; publicKey: Uint8Array<ArrayBuffer> }> {
  const usages = ["decapsulateBits"];
  const privateKey = await subtle.importKey(PRIVATE_FORMAT, seed, ALGORITHM, true, usages);
  const publicKey = await subtle.getPublicKey(privateKey, ["encapsulateBits"]);
  return {
    privateKey,
    publicKey: new Uint8Array(await subtle.exportKey(PUBLIC_FORMAT, publicKey)),
  };
}

/** A fresh shared secret (32 bytes) and its ciphertext (1088 bytes) for the owner of the key. */
export async function encapsulate(
  publicKey: Uint8Array,
): Promise<{ ciphertext: Uint8Array<ArrayBuffer>; shared: Uint8Array<ArrayBuffer> }> {
  const usages = ["encapsulateBits"];
  const key = await subtle.importKey(PUBLIC_FORMAT, publicKey, ALGORITHM, true, usages);
  const { ciphertext, sharedKey } = await subtle.encapsulateBits(ALGORITHM, key);
  return { ciphertext: new Uint8Array(ciphertext), shared: new Uint8Array(sharedKey) };
}

/** The shared secret. A wrong ciphertext gives another secret, not an error. 32 bytes. */
export async function decapsulate(
  privateKey: CryptoKey,
  ciphertext: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await subtle.decapsulateBits(ALGORITHM, privateKey, ciphertext));
}
