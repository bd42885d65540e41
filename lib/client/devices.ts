/** `client devices`: who is in the vault, and how somebody gets out of it. */
import { equalBytes } from "../bytes.ts";
import { ExitCode, RefusedError, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { Role } from "../identity.ts";
import { encodeRevoke } from "../journal_body.ts";
import type { DeviceFacts } from "../journal_facts.ts";
import { EventKind } from "../journal.ts";
import { type Command, print, printError } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { DEVICE_DIGITS, deviceName, findDevice, ROLE_NAMES } from "./device_choice.ts";
import { showPath, showTime } from "./entry_text.ts";
import { isChangeDue, type KeyChange, rotateKeys } from "./key_change.ts";
import { finishKeyChange, isOwner, noteChangeDue } from "./owner_access.ts";
import type { Profile } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { appendEvent, appendLast, openVault, type VaultAccess } from "./vault_access.ts";

const HELP = `client devices: shows the devices of the vault, and revokes them

Usage: client devices [flags]                  one line each: id, role, state, name
       client devices revoke [flags] DEVICE    DEVICE is a name, or the beginning of an id

Whoever is revoked is out at once, and its open connections end. If it could read, the vault's
keys are changed with it: it reads nothing that is written from then on. An owner may revoke
every device but the last owner; every device may revoke itself. For the time of the hold the
server's operator can bring back a device that was revoked; all devices are told of it.

"seen" is the newest login by the server's word; "backup" is the newest snapshot.

${PROFILE_HELP}
  --json           one JSON object for each device on standard output`;

const FLAGS = { ...PROFILE_FLAG, ...JSON_FLAG } as const;

interface DevicesOptions {
  folder: ProfileFolder;
  /** The device to revoke; undefined to show all. */
  revoked: string | undefined;
  json: boolean;
}

export const DEVICES_COMMAND: Command = {
  summary: "show the devices of the vault, or revoke one",
  help: HELP,
  run: (args) => devices(parseOptions(args)),
};

async function devices({ folder, revoked, json }: DevicesOptions): Promise<number> {
  if (revoked !== undefined) folder.checkWritable("revoke a device");
  const vault = await openVault(folder);
  try {
    if (isOwner(vault) && folder.isWritable) await finishKeyChange(vault);
    if (revoked !== undefined) await revoke(vault, { text: revoked, json });
    else await show(vault, json);
    if (isOwner(vault)) noteChangeDue(vault);
    return ExitCode.DONE;
  } finally {
    vault.session.close();
  }
}

async function show({ profile, session }: VaultAccess, json: boolean): Promise<void> {
  const seen = new Map(
    (await session.seen()).map(({ device, timeMs }) => [device.toHex(), timeMs]),
  );
  if (!json) print(HEADINGS);
  for (const device of profile.journal.facts.devices.values()) {
    const described = {
      device,
      name: await deviceName(profile, device),
      isSelf: equalBytes(device.id, profile.device.id),
      seenMs: seen.get(device.id.toHex()),
      nowMs: session.welcome.timeMs,
    };
    print(json ? JSON.stringify(deviceFields(described)) : formatDevice(described));
  }
}

const HEADINGS = "id            role    added                seen                 backup" +
  "               name";

interface Described {
  device: DeviceFacts;
  name: string;
  isSelf: boolean;
  seenMs: number | undefined;
  /** By the server's clock. */
  nowMs: number;
}

function formatDevice({ device, name, isSelf, seenMs, nowMs }: Described): string {
  const { id, role, addedMs, committedMs } = device;
  const notes = [isSelf ? "this device" : "", ...stateNotes(device, nowMs)].filter((n) => n !== "");
  return [
    id.toHex().slice(0, DEVICE_DIGITS),
    ROLE_NAMES[role].padEnd(6),
    showTime(addedMs),
    (seenMs === undefined ? "-" : showTime(seenMs)).padEnd(19),
    (committedMs === 0 ? "-" : showTime(committedMs)).padEnd(19),
    showPath(name) + (notes.length > 0 ? ` (${notes.join("; ")})` : ""),
  ].join("  ");
}

function stateNotes({ revoked, heldUntilMs, isRestored }: DeviceFacts, nowMs: number): string[] {
  const notes: string[] = [];
  if (revoked) {
    const hold = heldUntilMs > nowMs ? `, held until ${showTime(heldUntilMs)}` : "";
    notes.push(`revoked${hold}`);
  }
  if (isRestored) notes.push("brought back by the server's operator");
  return notes;
}

function deviceFields({ device, name, isSelf, seenMs, nowMs }: Described): Record<string, unknown> {
  const { id, role, addedMs, committedMs, revoked, heldUntilMs, isRestored } = device;
  const iso = (timeMs: number) => new Date(timeMs).toISOString();
  return {
    event: "device",
    ...{ id: id.toHex(), name, role: ROLE_NAMES[role], isSelf, revoked, isRestored },
    added: iso(addedMs),
    ...(seenMs === undefined ? {} : { lastSeen: iso(seenMs) }),
    ...(committedMs === 0 ? {} : { lastBackup: iso(committedMs) }),
    ...(revoked && heldUntilMs > nowMs ? { heldUntil: iso(heldUntilMs) } : {}),
  };
}

/** Revokes a device. What an attempt before has not done is done now. */
async function revoke(
  vault: VaultAccess,
  { text, json }: { text: string; json: boolean },
): Promise<void> {
  const { profile } = vault;
  const { id } = await findDevice(text, profile);
  const isSelf = equalBytes(id, profile.device.id);
  if (!isOwner(vault) && !isSelf) {
    throw new RefusedError("Cannot revoke the device: only an owner of the vault may");
  }
  const device = profile.journal.device(id)!;
  const name = await deviceName(profile, device);
  if (!device.revoked) await appendRevocation(vault, { id, isSelf });
  if (isSelf && device.role !== Role.WRITER) {
    printError(
      'note: this device still knows the vault\'s keys; an owner changes them: "client keys rotate"',
    );
  }
  const mustChange = !isSelf && device.role !== Role.WRITER && isChangeDue(profile.journal.facts);
  const change = mustChange ? await rotateKeys(vault, { includeRestored: false }) : undefined;
  report({ id, name, device, change, json });
}

async function appendRevocation(
  vault: VaultAccess,
  { id, isSelf }: { id: Uint8Array; isSelf: boolean },
): Promise<void> {
  const event = { kind: EventKind.REVOKE, body: encodeRevoke(id) };
  checkNotLast(vault.profile, id);
  // After its own revocation a device is told nothing more: not even what it has done.
  if (isSelf) await appendLast(vault, event);
  else await appendEvent(vault, () => Promise.resolve(event));
}

function checkNotLast({ journal }: Profile, id: Uint8Array): void {
  const owners = [...journal.facts.devices.values()].filter(({ role, revoked }) =>
    role === Role.OWNER && !revoked
  );
  if (owners.length === 1 && equalBytes(owners[0].id, id)) {
    throw new RefusedError("Cannot revoke the device: it is the vault's last owner", {
      hint: 'let another owner in first: "client invite --role owner"',
    });
  }
}

function report(
  { id, name, device, change, json }: {
    id: Uint8Array;
    name: string;
    device: DeviceFacts;
    change: KeyChange | undefined;
    json: boolean;
  },
): void {
  if (json) {
    const ids = { device: id.toHex(), name, role: ROLE_NAMES[device.role] };
    return print(JSON.stringify({ event: "revoked", ...ids, ...change }));
  }
  printError(`device "${showPath(name)}" is revoked`);
  if (change === undefined) return;
  printError(`the vault's keys are changed: epoch ${change.epoch}, left for ${change.slots}`);
}

function parseOptions(args: string[]): DevicesOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  const [command, ...rest] = positionals;
  if (command !== undefined && command !== "revoke") {
    throw new UsageError(`Unexpected argument "${command}"`, {
      hint: "client devices revoke DEVICE revokes one",
    });
  }
  if (command === "revoke" && rest.length !== 1) {
    throw new UsageError("Cannot revoke: one device is needed", {
      hint: '"client devices" shows their names and ids',
    });
  }
  return { folder: profileOf(values), revoked: rest[0], json: values.json === true };
}
