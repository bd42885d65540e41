/** `client journal`: the vault's history in words. */
import { equalBytes } from "../bytes.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { JournalError } from "../journal.ts";
import { JournalState } from "../journal_state.ts";
import { type Command, print } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { showTime } from "./entry_text.ts";
import { describeEvent } from "./event_text.ts";
import { TRUST_HINT } from "./journal_sync.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client journal: shows the history of the vault

Usage: client journal [flags]

One line for each event, oldest first: number, time by the server's clock, what happened. Every
event is checked again from the first one on: its place, its signature, and whether its signer
might do so.

${PROFILE_HELP}
  --json           one JSON object for each event on standard output`;

const FLAGS = { ...PROFILE_FLAG, ...JSON_FLAG } as const;

export const JOURNAL_COMMAND: Command = {
  summary: "show the history of the vault",
  help: HELP,
  run: (args) => {
    const { values, positionals } = parseFlags(args, FLAGS);
    if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
    return showJournal(profileOf(values), values.json === true);
  },
};

async function showJournal(folder: ProfileFolder, json: boolean): Promise<number> {
  const { profile, session } = await openVault(folder);
  try {
    const { keyring, journal } = profile;
    const state = new JournalState();
    for await (const bytes of session.events(0)) {
      if (state.newest.number === journal.newest.number) break; // it has gone on meanwhile
      const event = state.apply(bytes);
      const described = await describeEvent(event, { journal: state, keyring });
      if (json) print(JSON.stringify({ event: "journal", ...described }));
      else {
        const number = String(event.number).padStart(6);
        print(`${number}  ${showTime(event.timeMs)}  ${described.text}`);
      }
    }
    // What was shown must be what this device has followed.
    if (!equalBytes(state.newest.hash, journal.newest.hash)) {
      const { number } = journal.newest;
      throw new JournalError("seen", `Cannot trust journal: event ${number} is another one now`, {
        hint: TRUST_HINT,
      });
    }
    return ExitCode.DONE;
  } finally {
    session.close();
  }
}
