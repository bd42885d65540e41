/** `client unforget`: brings forgotten snapshots back as long as they are held. */
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { EventKind } from "../journal.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { type Command, print } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { findSnapshot, SHORT_ID_DIGITS } from "./snapshot_choice.ts";
import { changeSnapshots, requireOwner } from "./snapshot_events.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client unforget: brings forgotten snapshots back

Usage: client unforget [flags] SNAPSHOT...

SNAPSHOT is the beginning of an id that "client snapshots --all" shows. What is not shown there any
more is gone. Only an owner may.

${PROFILE_HELP}
  --json           one JSON object for each snapshot on standard output`;

export const UNFORGET_COMMAND: Command = {
  summary: "bring forgotten snapshots back",
  help: HELP,
  run: unforget,
};

async function unforget(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, { ...PROFILE_FLAG, ...JSON_FLAG });
  if (positionals.length === 0) throw new UsageError("Cannot unforget: no snapshot is named");
  const vault = await openVault(profileOf(values));
  try {
    requireOwner(vault, "unforget");
    const rows = new Map<string, SnapshotRow>();
    const filter = { device: undefined, tag: undefined };
    for (const name of positionals) {
      const row = await findSnapshot(name, { profile: vault.profile, filter });
      if (row.holdUntilMs === 0) throw new UsageError(`Cannot unforget ${name}: it is in force`);
      rows.set(row.root.toHex(), row);
    }
    await changeSnapshots(vault, EventKind.UNFORGET, [...rows.values()]);
    for (const id of rows.keys()) {
      if (values.json === true) print(JSON.stringify({ event: "unforgotten", id }));
      else print(`${id.slice(0, SHORT_ID_DIGITS)}  in force again`);
    }
  } finally {
    vault.session.close();
  }
  return ExitCode.DONE;
}
