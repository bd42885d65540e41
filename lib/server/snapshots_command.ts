/** `server snapshots`: which snapshots vaults have, as far as a server can tell. */
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags, readFlag } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import {
  askOrDo,
  DATA_FLAG,
  DATA_HELP,
  dataPathOf,
  findVaultId,
  JSON_FLAG,
  VAULT_FLAG,
  VAULT_HELP,
  withDatabase,
} from "./operator.ts";
import type { VaultSnapshots } from "./snapshot_list.ts";

const ID_DIGITS = 12;

const HELP = `server snapshots: shows which snapshots vaults have

Usage: server snapshots [flags]

${DATA_HELP}
${VAULT_HELP}
  --json           one JSON object for each snapshot on standard output

One line each, oldest first: vault, id, time, device, until when it is held. Of many only the newest
10000 of each vault. Works beside a running server. Names, paths and contents it does not know.`;

export const SNAPSHOTS_COMMAND: Command = {
  summary: "show which snapshots vaults have",
  help: HELP,
  run: snapshots,
};

async function snapshots(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, { ...DATA_FLAG, ...VAULT_FLAG, ...JSON_FLAG });
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const dataPath = dataPathOf(values);
  const begin = readFlag<string | undefined>(values, {
    flag: "vault",
    parse: String,
    otherwise: undefined,
  });
  const vault = await withDatabase(dataPath, (db) => findVaultId(db, begin));
  const wanted = vault === undefined ? {} : { vault };
  const results = await askOrDo(dataPath, {
    ...{ kind: "snapshots", wanted },
    alone: (upkeep) => upkeep.listSnapshots(wanted),
  });
  for (const result of results) show(result, values.json === true);
  return results.some((result) => "error" in result) ? ExitCode.DAMAGED : ExitCode.DONE;
}

function show(result: VaultSnapshots, json: boolean): void {
  const { vault } = result;
  if ("error" in result) return printError(`${vault.slice(0, ID_DIGITS)}: ${result.error}`);
  for (const snapshot of result.snapshots) {
    if (json) print(JSON.stringify({ event: "snapshot", vault, ...snapshot }));
    else {
      const { id, committed, device, heldUntil } = snapshot;
      const held = heldUntil === undefined ? "" : `  (forgotten, gone after ${heldUntil})`;
      const ids = [vault, id].map((text) => text.slice(0, ID_DIGITS)).join("  ");
      print(`${ids}  ${committed}  ${device.slice(0, ID_DIGITS)}${held}`);
    }
  }
}
