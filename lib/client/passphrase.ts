/** `client passphrase`: puts the profile under a passphrase, or takes it away. */
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { type Command, printError } from "../program.ts";
import { PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { giveNewPassphrase } from "./passphrase_source.ts";
import { hasProfile } from "./profile.ts";
import { noProfile } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { isLocked, lockProfile, unlockProfile } from "./profile_secrets.ts";

const HELP = `client passphrase: puts the profile under a passphrase

Usage: client passphrase set [flags]       sets a passphrase, or another one
       client passphrase remove [flags]    takes it away

Without the passphrase a thief of the profile has neither the device's keys nor the vault's,
and does not see the names of files of the last backup. Every command then asks for the
passphrase, or reads it from --passphrase-file. Nobody can help who has lost it: revoke the
device, and let it in again. What lay on the disk before is overwritten by the file system
only when it wants to.

  --new-passphrase-file FILE
                   set: file with the new passphrase; without it it is asked for
${PROFILE_HELP}`;

const FLAGS = { ...PROFILE_FLAG, "new-passphrase-file": { type: "string" } } as const;

export const PASSPHRASE_COMMAND: Command = {
  summary: "put the profile under a passphrase",
  help: HELP,
  run: (args) => changePassphrase(args),
};

async function changePassphrase(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  const [action] = positionals;
  if (positionals.length !== 1 || (action !== "set" && action !== "remove")) {
    throw new UsageError("Cannot change the passphrase: say set or remove");
  }
  const folder = profileOf(values);
  folder.checkWritable("change the passphrase");
  if (!hasProfile(folder)) throw noProfile(folder);
  if (action === "remove") {
    await unlockProfile(folder);
    printError("the profile is not under a passphrase any more");
    return ExitCode.DONE;
  }
  const path = readText(values, "new-passphrase-file");
  // Without one before, either flag can only mean the new one.
  const newPath = path ?? (isLocked(folder) ? undefined : folder.passphrasePath);
  await lockProfile(folder, () => giveNewPassphrase(newPath));
  printError("the profile is under a passphrase now");
  return ExitCode.DONE;
}
