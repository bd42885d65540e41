/** `client keys`: a new epoch of the vault's keys. */
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { hasNewestKeys } from "./journal_sync.ts";
import { rotateKeys } from "./key_change.ts";
import { withOwner } from "./owner_access.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client keys: changes the keys of the vault

Usage: client keys rotate [flags]     begins an epoch: new keys for all that is written from now on
       client keys accept [flags]     takes the keys of an owner whom the operator brought back

Everybody in the vault, and the recovery code, gets the new keys with its next login. Old
snapshots stay readable; what has not changed since keeps its place, so a change costs only
what is read again. A backup that is under way goes on with the new keys.

The server's operator can bring back a device that was revoked. Nobody takes keys from it, or
from a device that it has let in, before somebody at that machine says so with "accept".

  --restored       rotate: give the keys also to devices and to a recovery code that the
                   operator has brought back; they are trusted again from then on
${PROFILE_HELP}
  --json           one JSON object on standard output`;

const FLAGS = { ...PROFILE_FLAG, ...JSON_FLAG, restored: { type: "boolean" } } as const;

interface KeysOptions {
  folder: ProfileFolder;
  includeRestored: boolean;
  json: boolean;
}

export const KEYS_COMMAND: Command = {
  summary: "change the keys of the vault",
  help: HELP,
  run: (args) => {
    const { values, positionals } = parseFlags(args, FLAGS);
    const options = {
      folder: profileOf(values),
      includeRestored: values.restored === true,
      json: values.json === true,
    };
    if (positionals.length === 1 && positionals[0] === "rotate") return rotate(options);
    if (positionals.length === 1 && positionals[0] === "accept") return accept(options);
    throw new UsageError("Cannot change keys: say rotate or accept");
  },
};

function rotate({ folder, includeRestored, json }: KeysOptions): Promise<number> {
  return withOwner(folder, {
    purpose: "change keys",
    work: async (vault) => {
      const { epoch, slots } = await rotateKeys(vault, { includeRestored });
      if (json) print(JSON.stringify({ event: "keys", epoch, slots }));
      else printError(`the vault's keys are changed: epoch ${epoch}, left for ${slots}`);
      return ExitCode.DONE;
    },
  });
}

async function accept({ folder, json }: KeysOptions): Promise<number> {
  folder.checkWritable("take keys");
  const { profile, session } = await openVault(folder, { acceptKeys: true });
  session.close();
  const epoch = profile.keyring.epochs.length;
  const isNewest = hasNewestKeys(profile);
  if (json) print(JSON.stringify({ event: "accepted", epoch, isNewest }));
  else printError(`this device has the keys of epoch ${epoch}${isNewest ? ", the newest" : ""}`);
  return ExitCode.DONE;
}
