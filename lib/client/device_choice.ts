/** Devices by name: what they are called, and which one is meant. */
import { DamagedError, UsageError } from "../errors.ts";
import { Role } from "../identity.ts";
import type { DeviceFacts } from "../journal_facts.ts";
import { openName } from "../vault/device_name.ts";
import type { Profile } from "./profile.ts";

/** Digits that stand for a device in tables. */
export const DEVICE_DIGITS = 12;
const PREFIX_DIGITS_MIN = 4;

/** Roles in words. */
export const ROLE_NAMES: Record<Role, string> = {
  [Role.WRITER]: "writer",
  [Role.READER]: "reader",
  [Role.OWNER]: "owner",
};

/** A device's name; the beginning of its id, if its name cannot be opened. */
export async function deviceName(
  { keyring }: Pick<Profile, "keyring">,
  { sealedName, id }: Pick<DeviceFacts, "sealedName" | "id">,
): Promise<string> {
  try {
    return await openName(sealedName, keyring.epochs.map(({ writeSecret }) => writeSecret));
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return id.toHex().slice(0, DEVICE_DIGITS);
  }
}

/** Names of the devices in the order in which they joined. */
export async function deviceNames(
  profile: Pick<Profile, "journal" | "keyring">,
): Promise<string[]> {
  const devices = [...profile.journal.facts.devices.values()];
  return await Promise.all(devices.map((device) => deviceName(profile, device)));
}

/**
 * The device that somebody means by a name, or by the beginning of an id.
 *
 * @throws {UsageError} if there is none, or more than one
 */
export async function findDevice(
  text: string,
  profile: Pick<Profile, "journal" | "keyring">,
): Promise<DeviceFacts> {
  const devices = [...profile.journal.facts.devices.values()];
  const ofId = devices.filter(({ id }) => id.toHex().startsWith(text.toLowerCase()));
  // A device may give itself another's id for a name, and must not be taken for it.
  if (text.length >= DEVICE_DIGITS && ofId.length === 1) return ofId[0];
  const names = await deviceNames(profile);
  const named = devices.filter((_, i) => names[i] === text);
  // Of several with a name, those that are revoked are not meant.
  const active = named.filter(({ revoked }) => !revoked);
  let found = active.length > 0 ? active : named;
  if (found.length === 0 && text.length >= PREFIX_DIGITS_MIN) found = ofId;
  if (found.length === 1) return found[0];
  const state = found.length === 0 ? "there is none" : "there is more than one";
  throw new UsageError(`Cannot choose device ${JSON.stringify(text)}: ${state}`, {
    hint: `a name, or at least ${PREFIX_DIGITS_MIN} digits of an id, of "client devices"`,
  });
}
