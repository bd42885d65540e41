/**
 * `enrolment.json` in a profile that is being made: what is sent to the server, so that after a lost answer or a crash
 * the same bytes can be sent again. It goes when the profile is complete.
 */
import { equalBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import type { DevicePrivateKey } from "../vault/private_key.ts";
import type { Enrolment } from "./enrolment.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { decodeLocal, encodeLocal } from "./profile_secrets.ts";

const FILE = "enrolment.json";

export async function writeEnrolment(
  folder: ProfileFolder,
  { enrolment, device }: { enrolment: Enrolment; device: DevicePrivateKey },
): Promise<void> {
  const { kind, token, statement, vaultId, deviceName, keyring, expected } = enrolment;
  const fields = {
    ...{ kind, deviceName, number: expected.number, hash: expected.hash.toHex() },
    ...{ token: token.toHex(), statement: statement.toHex(), vaultId: vaultId.toHex() },
    keyring: (await encodeLocal(folder, { device, keyring })).toHex(),
  };
  await folder.write(FILE, new TextEncoder().encode(JSON.stringify(fields)));
}

/** The enrolment with this token that an earlier attempt has left, if any. */
export async function readEnrolment(
  folder: ProfileFolder,
  { token, device }: { token: Uint8Array; device: DevicePrivateKey },
): Promise<Enrolment | undefined> {
  const bytes = folder.read(FILE);
  if (bytes === undefined) return undefined;
  try {
    const fields = JSON.parse(new TextDecoder().decode(bytes));
    const enrolment = {
      kind: fields.kind,
      deviceName: String(fields.deviceName),
      token: Uint8Array.fromHex(fields.token),
      statement: Uint8Array.fromHex(fields.statement),
      vaultId: Uint8Array.fromHex(fields.vaultId),
      keyring: await decodeLocal(folder, { device, bytes: Uint8Array.fromHex(fields.keyring) }),
      expected: { number: Number(fields.number), hash: Uint8Array.fromHex(fields.hash) },
    };
    return equalBytes(enrolment.token, token) ? enrolment : undefined;
  } catch (cause) {
    throw new DamagedError(`Cannot use ${folder.filePath(FILE)}: it is damaged`, {
      hint: "remove it to begin anew",
      cause,
    });
  }
}

export async function removeEnrolment(folder: ProfileFolder): Promise<void> {
  await folder.remove(FILE);
}
