/** `client init`: makes a profile from an invite, of a new vault or of one that is there. */
import { UsageError } from "../errors.ts";
import { ExitCode } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { decodeInviteLine, type Invite } from "../invite_line.ts";
import { type Command, print, printError } from "../program.ts";
import { deriveInviteKeys } from "../vault/invite.ts";
import { type DevicePrivateKey, generateDeviceKey, importDeviceKey } from "../vault/private_key.ts";
import { deriveRecoveryKey } from "../vault/recovery.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { readEnrolment, removeEnrolment, writeEnrolment } from "./enrolment_file.ts";
import {
  enrol,
  type Enrolment,
  findServer,
  firstLogin,
  leaveRecoverySlot,
  prepareFounding,
  prepareJoining,
} from "./enrolment.ts";
import { ROLE_NAMES } from "./device_choice.ts";
import type { ServerPlace } from "./login_v4.ts";
import { giveNewPassphrase } from "./passphrase_source.ts";
import { hasProfile, writeProfile } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { readDeviceKey, writeDeviceKey } from "./profile_secrets.ts";
import { type HandOver, handOverCode, planHandOver } from "./recovery_code.ts";
import { hostName } from "./terminal.ts";

const HELP = `client init: makes this machine a device of a vault

Usage: client init [flags] INVITE

INVITE is the line that "server invite" (for a new vault) or "client invite" (for a vault
that is there) prints. If init is interrupted, run it again with the same invite.

${PROFILE_HELP}
  --device NAME    name by which the vault's other devices know this one (the host's)
  --recovery-file FILE
                   write the recovery code to FILE instead of showing it
  --yes            show the recovery code on standard output and do not ask
  --json           one JSON object on standard output

With --passphrase-file the profile is put under that passphrase; "client passphrase" does so
later. A new vault has a recovery code. Whoever has it, and nobody without it, can get the vault
back when all devices are lost. It is shown once: write it down and keep it elsewhere.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  device: { type: "string" },
  "recovery-file": { type: "string" },
  yes: { type: "boolean" },
} as const;

interface InitOptions {
  invite: Invite;
  folder: ProfileFolder;
  deviceName: string;
  handOver: HandOver;
  json: boolean;
}

export const INIT_COMMAND: Command = {
  summary: "make this machine a device of a vault",
  help: HELP,
  run: (args) => init(parseOptions(args)),
};

/** Makes a profile. What an earlier attempt has sent is sent again as it was. */
async function init({ invite, folder, deviceName, handOver, json }: InitOptions): Promise<number> {
  folder.checkWritable("make a profile");
  if (hasProfile(folder)) {
    throw new UsageError(`Cannot make a profile: there is one in ${folder.path}`, {
      hint: "--profile DIR makes another one elsewhere",
    });
  }
  const server = await findServer(invite);
  folder.create();
  const device = await prepareDevice(folder);
  const token = await tokenOf(invite);
  const kept = await readEnrolment(folder, { token, device });
  const enrolment = kept ?? await prepare(invite, { server, device, deviceName, handOver });
  if (kept === undefined) await writeEnrolment(folder, { enrolment, device });
  await enrol(server, enrolment);
  const { profile, session } = await firstLogin({ server, device, enrolment, folder });
  try {
    if (enrolment.kind === "new") await leaveRecoverySlot(profile, session);
    await writeProfile(folder, profile);
    await removeEnrolment(folder);
  } finally {
    session.close();
  }
  report({ enrolment, device, folder, json });
  return ExitCode.DONE;
}

/** The device's keys, on disk before anybody hears of them; under a passphrase if a file with one is named. */
export async function prepareDevice(folder: ProfileFolder): Promise<DevicePrivateKey> {
  let encoded = await readDeviceKey(folder);
  if (encoded === undefined) {
    const path = folder.passphrasePath;
    const passphrase = path === undefined ? undefined : await giveNewPassphrase(path);
    encoded = await generateDeviceKey();
    await writeDeviceKey(folder, encoded, passphrase);
  }
  return await importDeviceKey(encoded);
}

async function prepare(
  { kind, secret }: Invite,
  { server, device, deviceName, handOver }: {
    server: ServerPlace;
    device: DevicePrivateKey;
    deviceName: string;
    handOver: HandOver;
  },
): Promise<Enrolment> {
  if (kind === "join") return await prepareJoining({ server, secret, device, deviceName });
  // Before the vault is there: a vault whose code nobody has must not come to be.
  const recovery = await deriveRecoveryKey(await handOverCode(handOver));
  return await prepareFounding({ token: secret, device, deviceName, recovery });
}

async function tokenOf({ kind, secret }: Invite): Promise<Uint8Array> {
  return kind === "new" ? secret : (await deriveInviteKeys(secret)).token;
}

function report(
  { enrolment, device, folder, json }: {
    enrolment: Enrolment;
    device: DevicePrivateKey;
    folder: ProfileFolder;
    json: boolean;
  },
): void {
  const { deviceName, keyring, vaultId } = enrolment;
  const role = ROLE_NAMES[keyring.role];
  if (json) {
    const ids = { vault: vaultId.toHex(), device: device.id.toHex() };
    print(
      JSON.stringify({ event: "enrolled", ...ids, name: deviceName, role, profile: folder.path }),
    );
    return;
  }
  const inWords = `${role === "owner" ? "an" : "a"} ${role}`;
  printError(`device "${deviceName}" is now ${inWords} of vault ${vaultId.toHex().slice(0, 16)}`);
  printError(`its keys are in ${folder.path}`);
}

function parseOptions(args: string[]): InitOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 1) {
    throw new UsageError("Cannot make a profile: one invite line is needed", {
      hint: 'it is what "server invite" or "client invite" prints',
    });
  }
  const invite = decodeInviteLine(positionals[0]);
  const path = readText(values, "recovery-file");
  return {
    invite,
    folder: profileOf(values),
    deviceName: checkDeviceName(readText(values, "device") ?? hostName()),
    handOver: invite.kind === "new"
      ? planHandOver({ path, yes: values.yes === true })
      : { by: "nobody" },
    json: values.json === true,
  };
}

/** @throws {UsageError} if the journal could not take it */
export function checkDeviceName(name: string): string {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > 0 && bytes <= 255 && !/\p{Cc}/u.test(name)) return name;
  throw new UsageError(
    "Cannot use this device name: it has 1 to 255 bytes and no control characters",
  );
}
