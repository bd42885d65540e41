/**
 * The recovery code (docs/format.md, "Recovery"): 256 random bits on paper, from which keys follow that
 * may add an owner device, and that open the recovery slot.
 */
import { createHash } from "node:crypto";
import { ByteReader, concatBytes, TruncatedError } from "../bytes.ts";
import { DamagedError, UsageError } from "../errors.ts";
import { encodeRecoveryKeys, recoveryId, type RecoveryKeys } from "../identity.ts";
import type { Signer } from "../journal.ts";
import { hkdf } from "../kdf.ts";
import { decodeBase32, encodeBase32 } from "../base32.ts";
import { decapsulate, encapsulate, importKemSeed, KEM_CIPHERTEXT_BYTES } from "./kem.ts";
import { importSigner } from "./signing.ts";
import { openHybrid, sealHybrid, type WrapContext } from "./wrap.ts";

export const RECOVERY_SECRET_BYTES = 32;
const CODE_LETTERS = 52;
const CHECK_LETTERS = 4;
const GROUP_LETTERS = 4;
const X25519_BYTES = 32;
const X25519_PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b656e04220420");

/** All that follows from a recovery code. */
export interface RecoveryPrivateKey {
  publicKeys: RecoveryKeys;
  /** Also the locator: sent in place of a device id. 16 bytes. */
  id: Uint8Array;
  x25519: CryptoKey;
  kem: CryptoKey;
  sign: Signer;
}

/** A code for people: 14 groups of four letters; the last group checks the others. */
export function formatRecoveryCode(secret: Uint8Array): string {
  if (secret.length !== RECOVERY_SECRET_BYTES) throw new RangeError("Not a recovery secret");
  const letters = encodeBase32(secret).toUpperCase() + checkLetters(secret);
  return letters.match(new RegExp(`.{${GROUP_LETTERS}}`, "g"))!.join("-");
}

/**
 * The secret of a code as somebody typed it: case, spaces and hyphens do not matter.
 *
 * @throws {UsageError} if there is a typing error in it
 */
export function parseRecoveryCode(text: string): Uint8Array<ArrayBuffer> {
  const letters = text.replace(/[\s-]/g, "").toUpperCase();
  const size = CODE_LETTERS + CHECK_LETTERS;
  if (letters.length !== size) throw typingError(`${letters.length} letters instead of ${size}`);
  try {
    const secret = decodeBase32(letters.slice(0, CODE_LETTERS), RECOVERY_SECRET_BYTES);
    if (letters.slice(CODE_LETTERS) === checkLetters(secret)) return secret;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw typingError("there is a typing error in it");
}

export async function deriveRecoveryKey(secret: Uint8Array): Promise<RecoveryPrivateKey> {
  const signing = await importSigner(hkdf(secret, { info: "holdfast/4 recovery ed25519" }));
  const kem = await importKemSeed(hkdf(secret, { info: "holdfast/4 recovery ml-kem", size: 64 }));
  const x25519 = await importX25519(hkdf(secret, { info: "holdfast/4 recovery x25519" }));
  const publicKeys = {
    x25519: x25519.publicKey,
    kem: kem.publicKey,
    ed25519: signing.publicKey,
  };
  const { sign } = signing;
  const [x25519Key, kemKey] = [x25519.privateKey, kem.privateKey];
  return { publicKeys, id: recoveryId(publicKeys), x25519: x25519Key, kem: kemKey, sign };
}

/** Wraps to a recovery code, for which only its public keys are needed. 1136 bytes more. */
export async function wrapToRecovery(
  publicKeys: RecoveryKeys,
  { plaintext, context }: { plaintext: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const usages: KeyUsage[] = ["deriveBits"];
  const pair = await crypto.subtle.generateKey("X25519", true, usages) as CryptoKeyPair;
  const ephemeral = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const { ciphertext, shared } = await encapsulate(publicKeys.kem);
  const hybrid = {
    shares: [await agree(pair.privateKey, publicKeys.x25519), shared],
    ciphertexts: [ephemeral, ciphertext],
    recipient: encodeRecoveryKeys(publicKeys),
  };
  return sealHybrid(hybrid, { plaintext, context });
}

/** @throws {DamagedError} if it was not wrapped to this code for this purpose, vault and epoch */
export async function unwrapByRecovery(
  key: RecoveryPrivateKey,
  { wrapped, context }: { wrapped: Uint8Array; context: WrapContext },
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new ByteReader(wrapped);
  try {
    const ciphertexts = [reader.bytes(X25519_BYTES), reader.bytes(KEM_CIPHERTEXT_BYTES)];
    const shares = [
      await agree(key.x25519, ciphertexts[0]),
      await decapsulate(key.kem, ciphertexts[1]),
    ];
    const hybrid = { shares, ciphertexts, recipient: encodeRecoveryKeys(key.publicKeys) };
    return await openHybrid(hybrid, { sealed: reader.rest(), context });
  } catch (cause) {
    if (cause instanceof DamagedError) throw cause;
    const state = cause instanceof TruncatedError ? "cut short" : "it is for another key";
    throw new DamagedError(`Cannot unwrap key: ${state}`, { cause });
  }
}

async function importX25519(
  seed: Uint8Array,
): Promise<{ privateKey: CryptoKey; publicKey: Uint8Array<ArrayBuffer> }> {
  const pkcs8 = concatBytes(X25519_PKCS8_PREFIX, seed);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", true, ["deriveBits"]);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  return { privateKey, publicKey: Uint8Array.fromBase64(x!, { alphabet: "base64url" }) };
}

async function agree(privateKey: CryptoKey, publicKey: Uint8Array): Promise<Uint8Array> {
  const bytes = new Uint8Array(publicKey);
  const theirs = await crypto.subtle.importKey("raw", bytes, "X25519", true, []);
  const algorithm = { name: "X25519", public: theirs };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, privateKey, X25519_BYTES * 8));
}

/** 20 bits of a hash: one wrong code in a million passes. */
function checkLetters(secret: Uint8Array): string {
  const hash = createHash("sha256").update("holdfast/4 recovery check").update(secret).digest();
  return encodeBase32(new Uint8Array(hash)).slice(0, CHECK_LETTERS).toUpperCase();
}

function typingError(state: string): UsageError {
  const hint = "the code is 14 groups of 4 letters; digits are 2 to 7 only";
  return new UsageError(`Cannot use recovery code: ${state}`, { hint });
}
