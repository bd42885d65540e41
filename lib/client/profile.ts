/**
 * A profile: all that a device of a vault keeps (docs/profile.md). `profile.json` is written last, so
 * that a profile is there whole or not at all.
 *
 *     profile.json   vault, device's name, server's addresses and pin
 *     server.crt     the server's certificate
 *     device.key     the device's private keys         } or sealed:
 *     keyring.key    the vault's secrets for its role  } profile_secrets.ts
 *     journal.state  what the journal says, up to the newest event that this device has seen
 */
import { decodeHex } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { formatHostPort, parseHostPort } from "../flags.ts";
import { Role } from "../identity.ts";
import { JournalState } from "../journal_state.ts";
import { PIN_BYTES } from "../login.ts";
import { VAULT_ID_BYTES } from "../protocol_v4_login.ts";
import type { Keyring } from "../vault/keyring.ts";
import { type DevicePrivateKey, importDeviceKey, importReadKey } from "../vault/private_key.ts";
import type { UnwrapKey } from "../vault/wrap.ts";
import type { DeviceLogin, ServerPlace } from "./login_v4.ts";
import { noProfile, type ProfileFolder } from "./profile_folder.ts";
import { readDeviceKey, readKeyring, writeKeyring } from "./profile_secrets.ts";

const VERSION = 1;
const PROFILE_FILE = "profile.json";
const CERTIFICATE_FILE = "server.crt";
const JOURNAL_FILE = "journal.state";

export interface Profile {
  folder: ProfileFolder;
  /** 32 bytes. */
  vaultId: Uint8Array;
  deviceName: string;
  server: ServerPlace;
  device: DevicePrivateKey;
  keyring: Keyring;
  /** The journal up to the newest event that was seen; empty before the first login. */
  journal: JournalState;
}

/** Whether there is a profile in the folder. */
export function hasProfile(folder: ProfileFolder): boolean {
  return folder.read(PROFILE_FILE) !== undefined;
}

/**
 * @throws {UsageError} if there is none
 * @throws {DamagedError} if a file of it is missing or cannot be used
 */
export async function readProfile(folder: ProfileFolder): Promise<Profile> {
  const bytes = folder.read(PROFILE_FILE);
  if (bytes === undefined) throw noProfile(folder);
  const { vaultId, deviceName, addresses, pin } = parseProfile(bytes, folder);
  const certificatePem = new TextDecoder().decode(readNeeded(folder, CERTIFICATE_FILE));
  const encoded = await readDeviceKey(folder);
  if (encoded === undefined) throw missingFile(folder, "device.key");
  const device = await importDeviceKey(encoded);
  return {
    ...{ folder, vaultId, deviceName, device },
    server: { addresses, pin, certificatePem },
    keyring: await readKeyring(folder, device),
    journal: readJournal(folder),
  };
}

/** Writes all but the device's keys, which have to be there before anybody hears of them. */
export async function writeProfile(
  folder: ProfileFolder,
  profile: Omit<Profile, "folder">,
): Promise<void> {
  const { vaultId, deviceName, server, device, keyring, journal } = profile;
  await writeKeyring(folder, { device, keyring });
  await folder.write(CERTIFICATE_FILE, new TextEncoder().encode(server.certificatePem));
  if (!journal.isEmpty) await folder.write(JOURNAL_FILE, journal.encode());
  const fields = {
    version: VERSION,
    vault: vaultId.toHex(),
    device: deviceName,
    addresses: server.addresses.map(formatHostPort),
    pin: server.pin.toHex(),
  };
  const text = JSON.stringify(fields, undefined, 2) + "\n";
  await folder.write(PROFILE_FILE, new TextEncoder().encode(text));
}

/** Keeps what the journal says, unless another run has kept more meanwhile. */
export async function writeJournal(folder: ProfileFolder, journal: JournalState): Promise<void> {
  if (readJournal(folder).newest.number >= journal.newest.number) return;
  await folder.write(JOURNAL_FILE, journal.encode());
}

/** What the device logs in with, as plain data. */
export async function deviceLogin(
  profile: Pick<Profile, "vaultId" | "device">,
): Promise<DeviceLogin> {
  const { vaultId, device } = profile;
  const loginKey = new Uint8Array(await crypto.subtle.exportKey("pkcs8", device.rsa));
  return { vaultId, deviceId: device.id, loginKey };
}

/** Private read keys of all epochs, first to newest, undefined for those it lacks; none for a writer. */
export async function importReadKeys(
  { epochs, role }: Keyring,
): Promise<(UnwrapKey | undefined)[]> {
  if (role === Role.WRITER) return [];
  return await Promise.all(epochs.map(({ readKey }) => readKey && importReadKey(readKey)));
}

function readJournal(folder: ProfileFolder): JournalState {
  const bytes = folder.read(JOURNAL_FILE);
  if (bytes === undefined) return new JournalState();
  try {
    return JournalState.decode(bytes);
  } catch (cause) {
    throw new DamagedError(`Cannot use ${folder.filePath(JOURNAL_FILE)}: it is damaged`, {
      hint: "without it, a server that goes back in time is not found; remove it to begin anew",
      cause,
    });
  }
}

function parseProfile(
  bytes: Uint8Array,
  folder: ProfileFolder,
): Pick<Profile, "vaultId" | "deviceName"> & Pick<ServerPlace, "addresses" | "pin"> {
  try {
    const fields = JSON.parse(new TextDecoder().decode(bytes));
    if (fields.version !== VERSION) throw new RangeError(`unknown version ${fields.version}`);
    return {
      vaultId: decodeHex(String(fields.vault), VAULT_ID_BYTES),
      deviceName: String(fields.device),
      addresses: fields.addresses.map((address: unknown) => parseHostPort(String(address))),
      pin: decodeHex(String(fields.pin), PIN_BYTES),
    };
  } catch (cause) {
    throw new DamagedError(`Cannot use ${folder.filePath(PROFILE_FILE)}: it is damaged`, { cause });
  }
}

function readNeeded(folder: ProfileFolder, name: string): Uint8Array<ArrayBuffer> {
  const bytes = folder.read(name);
  if (bytes !== undefined) return bytes;
  throw missingFile(folder, name);
}

function missingFile(folder: ProfileFolder, name: string): DamagedError {
  return new DamagedError(`Cannot use the profile: ${folder.filePath(name)} is missing`);
}
