/**
 * The secret files of a profile (docs/profile.md): plain, or under a passphrase. Only the device's keys
 * are sealed with the passphrase itself; the keyring is sealed under a key that follows from them, so that it can be
 * replaced at any time.
 *
 *     device.key     the device's private keys; or device.sealed
 *     keyring.key    the vault's secrets; or keyring.sealed
 *     keyring.next   the same with an epoch that is being begun, in the form of the keyring
 *
 * Where both forms are there, a change from one to the other was cut short, and the plain one counts.
 */
import { concatBytes } from "../bytes.ts";
import { DamagedError, RefusedError } from "../errors.ts";
import { decryptAead, encryptAead, NONCE_BYTES } from "../vault/aead.ts";
import { decodeKeyring, encodeKeyring, type Keyring } from "../vault/keyring.ts";
import { openWithPassphrase, sealWithPassphrase } from "../vault/passphrase.ts";
import { type DevicePrivateKey, importDeviceKey } from "../vault/private_key.ts";
import { givePassphrase } from "./passphrase_source.ts";
import type { ProfileFolder } from "./profile_folder.ts";

const DEVICE_FILE = "device.key";
const SEALED_DEVICE_FILE = "device.sealed";
const KEYRING_FILE = "keyring.key";
const SEALED_KEYRING_FILE = "keyring.sealed";
const NEXT_FILE = "keyring.next";
const LOCAL_LABEL = new TextEncoder().encode("holdfast/4 local keyring");

/** Whether the profile's secrets are under a passphrase. */
export function isLocked(folder: ProfileFolder): boolean {
  return !folder.has(DEVICE_FILE) && folder.has(SEALED_DEVICE_FILE);
}

/**
 * The device's private keys, encoded; undefined if there are none.
 *
 * @throws {RefusedError} if the passphrase is another
 */
export async function readDeviceKey(
  folder: ProfileFolder,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const plain = folder.read(DEVICE_FILE);
  const sealed = plain === undefined ? folder.read(SEALED_DEVICE_FILE) : undefined;
  if (sealed === undefined) return plain;
  const passphrase = await givePassphrase(folder.passphrasePath);
  try {
    return await openWithPassphrase(passphrase, sealed);
  } catch (cause) {
    if (!(cause instanceof DamagedError)) throw cause;
    const path = folder.filePath(SEALED_DEVICE_FILE);
    throw new RefusedError(`Cannot open ${path}: the passphrase is another, or the file changed`, {
      cause,
    });
  }
}

/** Keeps new keys of the device, under the passphrase if one is given. */
export async function writeDeviceKey(
  folder: ProfileFolder,
  encoded: Uint8Array,
  passphrase?: string,
): Promise<void> {
  if (passphrase === undefined) return await folder.write(DEVICE_FILE, encoded);
  const sealed = await sealWithPassphrase(passphrase, { plaintext: encoded });
  await folder.write(SEALED_DEVICE_FILE, sealed);
}

/** @throws {DamagedError} if there is none, or it cannot be used */
export async function readKeyring(
  folder: ProfileFolder,
  device: DevicePrivateKey,
): Promise<Keyring> {
  const plain = folder.read(KEYRING_FILE);
  if (plain !== undefined) return decodeKeyring(plain);
  const sealed = folder.read(SEALED_KEYRING_FILE);
  if (sealed !== undefined) return decodeKeyring(await openLocal(device, sealed));
  throw new DamagedError(`Cannot use the profile: ${folder.filePath(KEYRING_FILE)} is missing`);
}

export async function writeKeyring(
  folder: ProfileFolder,
  { device, keyring }: { device: DevicePrivateKey; keyring: Keyring },
): Promise<void> {
  const name = isLocked(folder) ? SEALED_KEYRING_FILE : KEYRING_FILE;
  await folder.write(name, await encodeLocal(folder, { device, keyring }));
}

/** The keyring with an epoch that this device has begun to begin. */
export async function readNextKeyring(
  folder: ProfileFolder,
  device: DevicePrivateKey,
): Promise<Keyring | undefined> {
  const bytes = folder.read(NEXT_FILE);
  return bytes && await decodeLocal(folder, { device, bytes });
}

export async function writeNextKeyring(
  folder: ProfileFolder,
  { device, keyring }: { device: DevicePrivateKey; keyring: Keyring },
): Promise<void> {
  await folder.write(NEXT_FILE, await encodeLocal(folder, { device, keyring }));
}

export async function removeNextKeyring(folder: ProfileFolder): Promise<void> {
  await folder.remove(NEXT_FILE);
}

/** A keyring as bytes to keep: sealed, if the profile is under a passphrase. */
export async function encodeLocal(
  folder: ProfileFolder,
  { device, keyring }: { device: DevicePrivateKey; keyring: Keyring },
): Promise<Uint8Array<ArrayBuffer>> {
  const encoded = encodeKeyring(keyring);
  return isLocked(folder) ? await sealLocal(device, encoded) : encoded;
}

/** The opposite of {@link encodeLocal}. */
export async function decodeLocal(
  folder: ProfileFolder,
  { device, bytes }: { device: DevicePrivateKey; bytes: Uint8Array },
): Promise<Keyring> {
  return decodeKeyring(isLocked(folder) ? await openLocal(device, bytes) : bytes);
}

/** Puts the profile's secrets under a passphrase, or under another one. */
export async function lockProfile(
  folder: ProfileFolder,
  giveNew: () => Promise<string>,
): Promise<void> {
  const { encoded, device, keyring } = await readSecrets(folder);
  await writeDeviceKey(folder, encoded, await giveNew());
  await folder.write(SEALED_KEYRING_FILE, await sealLocal(device, encodeKeyring(keyring)));
  for (const name of [KEYRING_FILE, DEVICE_FILE]) await folder.remove(name);
}

/** Takes the passphrase from the profile. */
export async function unlockProfile(folder: ProfileFolder): Promise<void> {
  const { encoded, keyring } = await readSecrets(folder);
  await folder.write(KEYRING_FILE, encodeKeyring(keyring));
  await folder.write(DEVICE_FILE, encoded);
  for (const name of [SEALED_KEYRING_FILE, SEALED_DEVICE_FILE]) await folder.remove(name);
}

async function readSecrets(
  folder: ProfileFolder,
): Promise<{ encoded: Uint8Array; device: DevicePrivateKey; keyring: Keyring }> {
  if (folder.has(NEXT_FILE)) {
    throw new RefusedError(
      "Cannot change the passphrase: a change of the vault's keys is under way",
      {
        hint: '"client keys rotate" finishes it',
      },
    );
  }
  const encoded = await readDeviceKey(folder);
  if (encoded === undefined) {
    throw new DamagedError(`Cannot use the profile: ${folder.filePath(DEVICE_FILE)} is missing`);
  }
  const device = await importDeviceKey(encoded);
  return { encoded, device, keyring: await readKeyring(folder, device) };
}

async function sealLocal(
  { localKey }: DevicePrivateKey,
  plaintext: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const fields = { nonce, covered: LOCAL_LABEL, plaintext };
  return concatBytes(nonce, await encryptAead(localKey, fields));
}

async function openLocal({ localKey }: DevicePrivateKey, sealed: Uint8Array): Promise<Uint8Array> {
  if (sealed.length < NONCE_BYTES) throw new DamagedError("Cannot open keyring: cut short");
  const [nonce, ciphertext] = [sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES)];
  return await decryptAead(localKey, { nonce, covered: LOCAL_LABEL, ciphertext, what: "keyring" });
}
