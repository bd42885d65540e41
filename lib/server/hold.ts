/** `server hold`: how much longer than the owners want the operator holds what is given up. */
import { VaultDatabase } from "../db_vault.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { parseDuration, parseFlags, readFlag } from "../flags.ts";
import { type Command, print } from "../program.ts";
import { DATA_FLAG, DATA_HELP, dataPathOf, JSON_FLAG, withDatabase } from "./operator.ts";
import { HOLD_SETTING } from "./upkeep.ts";

const DAY_MS = 24 * 3600 * 1000;

const HELP = `server hold: shows or sets how much longer everything that is given up is held

Usage: server hold [flags]

${DATA_HELP}
  --extra TIME     beyond the hold that a vault's owners have set, such as 30d; "none" takes it away
  --json           one JSON object on standard output

For all vaults, also beside a running server. A hold cannot be made shorter here: the owners sign it,
and their devices refuse a server that drops something too early. An owner shortens it with
"client policy --hold"; that counts when the longer hold has passed since.`;

export const HOLD_COMMAND: Command = {
  summary: "hold what is given up for longer",
  help: HELP,
  run: hold,
};

async function hold(args: string[]): Promise<number> {
  const flags = { ...DATA_FLAG, ...JSON_FLAG, extra: { type: "string" } } as const;
  const { values, positionals } = parseFlags(args, flags);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const extraMs = readFlag<number | undefined>(values, {
    flag: "extra",
    parse: (text) => text === "none" ? 0 : parseDuration(text),
    otherwise: undefined,
  });
  await withDatabase(dataPathOf(values), async (db) => {
    const vaults = new VaultDatabase(db.sql);
    if (extraMs !== undefined) await vaults.setSetting(HOLD_SETTING, String(extraMs));
    const extraHoldMs = Number(await vaults.findSetting(HOLD_SETTING) ?? 0);
    if (values.json === true) print(JSON.stringify({ event: "hold", extraHoldMs }));
    else print(`extra hold: ${Math.round(extraHoldMs / DAY_MS * 100) / 100} days`);
  });
  return ExitCode.DONE;
}
