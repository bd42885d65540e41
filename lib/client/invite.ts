/** `client invite`: an owner lets one more device into the vault. */
import { ExitCode, RefusedError, UsageError } from "../errors.ts";
import { createHash } from "node:crypto";
import { parseChoice, parseDuration, parseFlags, readFlag } from "../flags.ts";
import { Role } from "../identity.ts";
import { encodeInviteLine } from "../invite_line.ts";
import { WIRE } from "../limits.ts";
import { type Command, print, printError } from "../program.ts";
import { deriveInviteKeys, grantInvite, INVITE_SECRET_BYTES, sealBundle } from "../vault/invite.ts";
import { narrowKeyring } from "../vault/keyring.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { finishKeyChange, isOwner } from "./owner_access.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { openVault, waitForNewestKeys } from "./vault_access.ts";

const HELP = `client invite: lets one more device into the vault

Usage: client invite [flags]

Prints one line, with which "client init" on the other machine joins. Whoever reads it can
join in that machine's place, once; so send it by a way that others do not read.

  --role ROLE      what the device may do (writer):
                     writer  make backups; it cannot read what it has written before
                     reader  the same, and restore
                     owner   the same, and forget snapshots, and invite and revoke devices
  --expires TIME   how long the invite can be used (24h; 30d at most)
${PROFILE_HELP}
  --json           one JSON object on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  role: { type: "string" },
  expires: { type: "string" },
} as const;

const ROLES = { writer: Role.WRITER, reader: Role.READER, owner: Role.OWNER } as const;
type RoleName = keyof typeof ROLES;
const EXPIRES_MS = 24 * 3600 * 1000;

interface InviteOptions {
  folder: ProfileFolder;
  role: RoleName;
  expiresMs: number;
  json: boolean;
}

export const INVITE_COMMAND: Command = {
  summary: "let one more device into the vault",
  help: HELP,
  run: (args) => invite(parseOptions(args)),
};

async function invite(
  { folder, role: name, expiresMs: lifeMs, json }: InviteOptions,
): Promise<number> {
  const vault = await openVault(folder);
  const { profile, session } = vault;
  try {
    if (!isOwner(vault)) throw new RefusedError("Cannot invite: only an owner of the vault may");
    await waitForNewestKeys(vault);
    if (folder.isWritable) await finishKeyChange(vault);
    const { vaultId, device, keyring, journal, server } = profile;
    const role = ROLES[name];
    const secret = crypto.getRandomValues(new Uint8Array(INVITE_SECRET_BYTES));
    const keys = await deriveInviteKeys(secret);
    const expiresMs = session.welcome.timeMs + lifeMs;
    const { publicKey } = keys;
    const grant = await grantInvite({ vaultId, owner: device, role, expiresMs, publicKey });
    const narrowed = narrowKeyring(keyring, role);
    const bundle = { vaultId, newest: journal.newest, role, grant, keyring: narrowed };
    const tokenHash = new Uint8Array(createHash("sha256").update(keys.token).digest());
    await session.invite({ tokenHash, expiresMs, bundle: await sealBundle(keys, bundle) });
    const { pin, addresses } = server;
    const line = encodeInviteLine({ kind: "join", pin, secret, addresses });
    const expires = new Date(expiresMs).toISOString();
    if (json) print(JSON.stringify({ event: "invite", role: name, expires, invite: line }));
    else print(line);
    if (!json) printError(`for one ${name}, until ${expires}: client init '<this line>'`);
  } finally {
    session.close();
  }
  return ExitCode.DONE;
}

function parseOptions(args: string[]): InviteOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const expiresMs = readFlag(values, {
    flag: "expires",
    parse: parseDuration,
    otherwise: EXPIRES_MS,
  });
  if (expiresMs > WIRE.inviteMsMax) throw new UsageError("--expires: 30d is the longest");
  const role = readFlag<RoleName>(values, {
    flag: "role",
    parse: (text) => parseChoice(text, ["writer", "reader", "owner"]),
    otherwise: "writer",
  });
  return { folder: profileOf(values), role, expiresMs, json: values.json === true };
}
