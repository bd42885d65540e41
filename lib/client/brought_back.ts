/**
 * What the server's operator has brought back (docs/format.md, "Bringing back"). That needs no key of the vault, so every
 * device is told of it.
 */
import type { JournalState } from "../journal_state.ts";
import { printError } from "../program.ts";
import { showPath } from "./entry_text.ts";
import { deviceName } from "./device_choice.ts";
import type { Profile } from "./profile.ts";

/** Ids of the devices, and of the recovery code, that were brought back; hexadecimal. */
export function findReturned(journal: JournalState): Set<string> {
  if (journal.isEmpty) return new Set();
  const { devices, recovery } = journal.facts;
  const returned = [...devices.values(), recovery].filter(({ isRestored }) => isRestored);
  return new Set(returned.map(({ id }) => id.toHex()));
}

/** Tells of those who were not among them before. */
export async function noteReturned(profile: Profile, before: Set<string>): Promise<void> {
  for (const id of findReturned(profile.journal)) {
    if (before.has(id)) continue;
    const device = profile.journal.facts.devices.get(id);
    const what = device === undefined
      ? "a former recovery code"
      : `device "${showPath(await deviceName(profile, device))}"`;
    printError(`warning: ${what} is back in the vault by the word of the server's operator alone`);
    printError(
      'hint: if no owner of the vault has asked for it, revoke it: "client devices revoke"',
    );
  }
}
