/** `server gc`: drops what owners have given up, and gives its space back. */
import { ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags, readFlag } from "../flags.ts";
import { VaultDatabase } from "../db_vault.ts";
import { type Command, print, printError } from "../program.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { ClockGuard } from "./clock_guard.ts";
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
import type { VaultCollected } from "./upkeep.ts";

const HELP = `server gc: drops what owners have given up, and gives its space back

Usage: server gc [flags]

${DATA_HELP}
${VAULT_HELP}
  --confirm-clock  the clock is right: after it was set by more than an hour nothing expires
                   before this was said
  --json           one JSON object for each vault on standard output

A running server does it by itself once a day; then this command asks it to do it now. Otherwise
it does the work itself. Nothing that a snapshot needs that is in force or held is ever deleted, nor
anything that a backup under way was told is there: that is deleted by a later run.
Exit code 5 says that something is damaged, so that nothing could be deleted there.`;

const FLAGS = {
  ...DATA_FLAG,
  ...VAULT_FLAG,
  ...JSON_FLAG,
  "confirm-clock": { type: "boolean" },
} as const;

export const GC_COMMAND: Command = {
  summary: "give the space of what is given up back",
  help: HELP,
  run: gc,
};

async function gc(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const dataPath = dataPathOf(values);
  const begin = readFlag<string | undefined>(values, {
    flag: "vault",
    parse: String,
    otherwise: undefined,
  });
  const vault = await withDatabase(dataPath, async (db) => {
    if (values["confirm-clock"] === true) {
      await ClockGuard.confirm(new VaultDatabase(db.sql), SYSTEM_CLOCK);
    }
    return await findVaultId(db, begin);
  });
  const results = await askOrDo(dataPath, {
    kind: "gc",
    wanted: vault === undefined ? {} : { vault },
    alone: (upkeep) => upkeep.collect(vault === undefined ? {} : { vault }),
  });
  for (const result of results) show(result, values.json === true);
  return results.some((result) => "error" in result || result.blocked !== undefined)
    ? ExitCode.DAMAGED
    : ExitCode.DONE;
}

function show(result: VaultCollected, json: boolean): void {
  if (json) return print(JSON.stringify({ event: "collected", ...result }));
  const vault = result.vault.slice(0, 12);
  if ("error" in result) return printError(`${vault}: ${result.error}`);
  const freed = formatByteSize(Math.max(result.bytesFreed, 0));
  print(
    `${vault}  ${result.dropped} snapshots dropped, ${result.deleted} records deleted, ` +
      `${freed} freed, ${result.waiting} records wait`,
  );
  if (result.stopped !== undefined) printError(`${vault}: nothing expires: ${result.stopped}`);
  if (result.blocked !== undefined) printError(`${vault}: nothing is deleted: ${result.blocked}`);
}
