/**
 * Private keys (docs/format.md, "Keys"): of devices, and of readers. Both hold an RSA-3072 and an
 * ML-KEM-768 key; a device has an Ed25519 key too. The public halves always follow from the private.
 */
import { ByteReader, ByteWriter, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { deviceId, type DeviceKeys, RSA_PUBLIC_BYTES } from "../identity.ts";
import type { Signer } from "../journal.ts";
import { hkdf } from "../kdf.ts";
import { AEAD_KEY_BYTES } from "./aead.ts";
import { generateKemSeed, importKemSeed, KEM_SEED_BYTES } from "./kem.ts";
import { importSigner, SIGNING_SEED_BYTES } from "./signing.ts";
import type { UnwrapKey } from "./wrap.ts";

const RSA_GENERATE = {
  name: "RSA-OAEP",
  modulusLength: 3072,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
};
const RSA_IMPORT = { name: "RSA-OAEP", hash: "SHA-256" };
/** PKCS#8 of an RSA-3072 key is about 1793 bytes. */
const PKCS8_BYTES_MAX = 2048;

/** A device's own keys, ready for use. */
export interface DevicePrivateKey extends UnwrapKey {
  /** 16 bytes. */
  id: Uint8Array;
  publicKey: DeviceKeys;
  sign: Signer;
  /** Seals what the device keeps for itself beside its keys. 32 bytes. */
  localKey: Uint8Array;
}

/** A new read key, as bytes to keep: size of the RSA key 2, RSA key (PKCS#8), ML-KEM seed 64. */
export async function generateReadKey(): Promise<Uint8Array<ArrayBuffer>> {
  const usages: KeyUsage[] = ["encrypt", "decrypt"];
  const pair = await crypto.subtle.generateKey(RSA_GENERATE, true, usages) as CryptoKeyPair;
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const seed = await generateKemSeed();
  return new ByteWriter(2 + pkcs8.length + seed.length)
    .u16(pkcs8.length).bytes(pkcs8).bytes(seed).done();
}

/** @throws {DamagedError} if the bytes are not from {@link generateReadKey} */
export function importReadKey(encoded: Uint8Array): Promise<UnwrapKey> {
  return decodeKey("read key", encoded, async (reader) => {
    const key = await importUnwrapKey(reader);
    reader.end();
    return key;
  });
}

/** A new device's keys, as bytes to keep: as of a read key, then the Ed25519 seed 32. */
export async function generateDeviceKey(): Promise<Uint8Array<ArrayBuffer>> {
  const readKey = await generateReadKey();
  const seed = crypto.getRandomValues(new Uint8Array(SIGNING_SEED_BYTES));
  return new ByteWriter(readKey.length + seed.length).bytes(readKey).bytes(seed).done();
}

/** @throws {DamagedError} if the bytes are not from {@link generateDeviceKey} */
export function importDeviceKey(encoded: Uint8Array): Promise<DevicePrivateKey> {
  return decodeKey("device key", encoded, async (reader) => {
    const key = await importUnwrapKey(reader);
    const { publicKey: ed25519, sign } = await importSigner(reader.bytes(SIGNING_SEED_BYTES));
    reader.end();
    const publicKey = { ...key.publicKey, ed25519 };
    const localKey = hkdf(encoded, { info: "holdfast/4 local", size: AEAD_KEY_BYTES });
    return { ...key, publicKey, id: deviceId(publicKey), sign, localKey };
  });
}

async function importUnwrapKey(reader: ByteReader): Promise<UnwrapKey> {
  const size = reader.u16();
  if (size > PKCS8_BYTES_MAX) throw new RangeError(`RSA key of ${size} bytes`);
  const pkcs8 = new Uint8Array(reader.bytes(size));
  const rsa = await crypto.subtle.importKey("pkcs8", pkcs8, RSA_IMPORT, true, ["decrypt"]);
  const { privateKey: kem, publicKey } = await importKemSeed(reader.bytes(KEM_SEED_BYTES));
  return { publicKey: { rsa: await exportRsaPublicKey(rsa), kem: publicKey }, rsa, kem };
}

async function exportRsaPublicKey(privateKey: CryptoKey): Promise<Uint8Array<ArrayBuffer>> {
  const { kty, n, e } = await crypto.subtle.exportKey("jwk", privateKey);
  const publicJwk = { kty, n, e } as JsonWebKey;
  const publicKey = await crypto.subtle.importKey("jwk", publicJwk, RSA_IMPORT, true, ["encrypt"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  if (spki.length !== RSA_PUBLIC_BYTES) throw new RangeError("not an RSA key of 3072 bits");
  return spki;
}

async function decodeKey<T>(
  what: string,
  encoded: Uint8Array,
  decode: (reader: ByteReader) => Promise<T>,
): Promise<T> {
  try {
    return await decode(new ByteReader(encoded));
  } catch (cause) {
    const state = cause instanceof TruncatedError ? "wrong size" : "bad fields";
    throw new DamagedError(`Cannot use ${what}: ${state}`, { cause });
  }
}
