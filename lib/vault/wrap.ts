/**
 * Hybrid wrapping (docs/format.md, "Wrapping"): two shared secrets, one by classic and one by
 * lattice cryptography, give one key. Breaking either kind alone opens nothing.
 */
import { createHash } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { encodeReadKey, type ReadKey } from "../identity.ts";
import { hkdf } from "../kdf.ts";
import { importRsaPublicKey } from "../login.ts";
import { decryptAead, encryptAead, ZERO_NONCE } from "./aead.ts";
import { decapsulate, encapsulate, KEM_CIPHERTEXT_BYTES } from "./kem.ts";

const WRAP_LABEL = new TextEncoder().encode("holdfast/4 wrap");
const RSA_CIPHERTEXT_BYTES = 384;
const RSA_SHARE_BYTES = 32;
/** What wrapping to a device or to a read key adds: both ciphertexts and the tag. */
export const WRAP_OVERHEAD_BYTES = RSA_CIPHERTEXT_BYTES + KEM_CIPHERTEXT_BYTES + 16;

/** What a wrapping is for. It opens only under the same. */
export interface WrapContext {
  purpose: "session" | "slot";
  /** 32 bytes. */
  vaultId: Uint8Array;
  epoch: number;
}

/** The private half of a read key or of a device's RSA and ML-KEM keys. */
export interface UnwrapKey {
  publicKey: ReadKey;
  rsa: CryptoKey;
  kem: CryptoKey;
}

/** Two shared secrets, the ciphertexts that carry them, and whose they are. */
export interface HybridShares {
  shares: Uint8Array[];
  ciphertexts: Uint8Array[];
  recipient: Uint8Array;
}

/** Wraps to a read key or to a device: 1488 bytes more than the plaintext. */
export async function wrap(
  publicKey: ReadKey,
  { plaintext, context }: { plaintext: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const share = crypto.getRandomValues(new Uint8Array(RSA_SHARE_BYTES));
  const rsa = await importRsaPublicKey(publicKey.rsa);
  const algorithm = { name: "RSA-OAEP", label: WRAP_LABEL };
  const rsaCiphertext = new Uint8Array(await crypto.subtle.encrypt(algorithm, rsa, share));
  const { ciphertext, shared } = await encapsulate(publicKey.kem);
  const hybrid = {
    shares: [share, shared],
    ciphertexts: [rsaCiphertext, ciphertext],
    recipient: encodeReadKey(publicKey),
  };
  return sealHybrid(hybrid, { plaintext, context });
}

/** @throws {DamagedError} if it was not wrapped to this key for this purpose, vault and epoch */
export async function unwrap(
  key: UnwrapKey,
  { wrapped, context }: { wrapped: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new ByteReader(wrapped);
  try {
    const ciphertexts = [reader.bytes(RSA_CIPHERTEXT_BYTES), reader.bytes(KEM_CIPHERTEXT_BYTES)];
    const algorithm = { name: "RSA-OAEP", label: WRAP_LABEL };
    const rsaCiphertext = new Uint8Array(ciphertexts[0]);
    const share = await crypto.subtle.decrypt(algorithm, key.rsa, rsaCiphertext);
    const shares = [new Uint8Array(share), await decapsulate(key.kem, ciphertexts[1])];
    const hybrid = { shares, ciphertexts, recipient: encodeReadKey(key.publicKey) };
    return await openHybrid(hybrid, { sealed: reader.rest(), context });
  } catch (cause) {
    if (cause instanceof DamagedError) throw cause;
    const state = cause instanceof TruncatedError ? "cut short" : "it is for another key";
    throw new DamagedError(`Cannot unwrap key: ${state}`, { cause });
  }
}

/** Both ciphertexts, then the plaintext sealed under the key that follows from both secrets. */
export async function sealHybrid(
  hybrid: HybridShares,
  { plaintext, context }: { plaintext: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const key = deriveWrapKey(hybrid, context);
  const fields = { nonce: ZERO_NONCE, covered: new Uint8Array(0), plaintext };
  return concatBytes(...hybrid.ciphertexts, await encryptAead(key, fields));
}

/** @param sealed what follows the ciphertexts */
export function openHybrid(
  hybrid: HybridShares,
  { sealed, context }: { sealed: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const key = deriveWrapKey(hybrid, context);
  const fields = { nonce: ZERO_NONCE, covered: new Uint8Array(0), ciphertext: sealed };
  return decryptAead(key, { ...fields, what: `wrapped ${context.purpose}` });
}

function deriveWrapKey(hybrid: HybridShares, context: WrapContext): Uint8Array {
  const { shares, ciphertexts, recipient } = hybrid;
  const purpose = new TextEncoder().encode(`holdfast/4 wrap ${context.purpose}`);
  const info = new ByteWriter(1 + purpose.length + 32 + 4 + 32)
    .u8(purpose.length).bytes(purpose).bytes(context.vaultId).u32(context.epoch)
    .bytes(sha256(recipient)).done();
  return hkdf(concatBytes(...shares), { info, salt: sha256(...ciphertexts) });
}

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
