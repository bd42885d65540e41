/** `client recovery`: another recovery code for the vault. */
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { EventKind } from "../journal.ts";
import { encodeRecoveryFields } from "../journal_body.ts";
import { proveCode } from "../journal_code.ts";
import { type Command, print, printError } from "../program.ts";
import { deriveRecoveryKey, type RecoveryPrivateKey } from "../vault/recovery.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { leaveSlots } from "./key_change.ts";
import { withOwner } from "./owner_access.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { type HandOver, handOverCode, planHandOver } from "./recovery_code.ts";
import { appendEvent, type VaultAccess, waitForNewestKeys } from "./vault_access.ts";

const HELP = `client recovery: makes another recovery code for the vault

Usage: client recovery new [flags]

The code before it is void from then on. Whoever may have seen it may still know the vault's
keys: "client keys rotate" changes them. For the time of the hold the server's operator can
bring the old code back; all devices are told of it.

  --recovery-file FILE
                   write the code to FILE instead of showing it
  --yes            show the code on standard output and do not ask
${PROFILE_HELP}
  --json           one JSON object on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  "recovery-file": { type: "string" },
  yes: { type: "boolean" },
} as const;

interface RecoveryOptions {
  folder: ProfileFolder;
  handOver: HandOver;
  json: boolean;
}

export const RECOVERY_COMMAND: Command = {
  summary: "make another recovery code for the vault",
  help: HELP,
  run: (args) => renew(parseOptions(args)),
};

function renew({ folder, handOver, json }: RecoveryOptions): Promise<number> {
  return withOwner(folder, {
    purpose: "make a recovery code",
    work: async (vault) => {
      await waitForNewestKeys(vault);
      // Before the old one is void: a vault whose code nobody has must not come to be.
      const code = await deriveRecoveryKey(await handOverCode(handOver));
      await appendEvent(vault, async () => ({
        kind: EventKind.RECOVERY,
        body: await proveNewCode(vault, code),
      }));
      await leaveSlots(vault, { includeRestored: vault.profile.journal.facts.recovery.isRestored });
      if (json) print(JSON.stringify({ event: "recovery", code: code.id.toHex() }));
      else printError("the vault has a new recovery code; the one before is void");
      return ExitCode.DONE;
    },
  });
}

/** The new code signs where in the history it comes, so what was there before it cannot be kept from it. */
function proveNewCode(
  { profile: { vaultId, device, journal } }: VaultAccess,
  { publicKeys, sign }: RecoveryPrivateKey,
): Promise<Uint8Array> {
  const body = encodeRecoveryFields({ keys: publicKeys });
  const statement = { kind: EventKind.RECOVERY, signer: device.id, seen: journal.newest, body };
  return proveCode(statement, { vaultId, sign });
}

function parseOptions(args: string[]): RecoveryOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 1 || positionals[0] !== "new") {
    throw new UsageError("Cannot change the recovery code: say new", {
      hint: "client recovery new; client recover gets a vault back",
    });
  }
  return {
    folder: profileOf(values),
    handOver: planHandOver({
      path: readText(values, "recovery-file"),
      yes: values.yes === true,
    }),
    json: values.json === true,
  };
}
