/** `server parity`: gives packs parity that have none, or removes all of it (docs/store.md, "Parity"). */
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
import { parseParity } from "./serve_options.ts";
import type { VaultParity } from "./upkeep.ts";

const HELP = `server parity: gives packs parity that have none, or removes all of it

Usage: server parity [flags] SHARE|off

SHARE is the size of the parity: 1% to 50% of the packs'.

${DATA_HELP}
${VAULT_HELP}
  --json           one JSON object for each vault on standard output

From parity the server repairs packs that change while they lie on the disk, without a client. "server
serve --parity SHARE" makes it for all packs, by itself, within seconds of each; this command does it
now, beside a running server or without one. Packs that have parity keep it as it is. Exit code 3 says
that some packs have none: they are damaged, or there is no room. The log says which.`;

export const PARITY_COMMAND: Command = {
  summary: "make or remove parity, from which damage is repaired",
  help: HELP,
  run: parity,
};

async function parity(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, { ...DATA_FLAG, ...VAULT_FLAG, ...JSON_FLAG });
  if (positionals.length !== 1) {
    throw new UsageError("Cannot make parity: one size is needed", {
      hint: `"server parity 5%" makes it, "server parity off" removes it`,
    });
  }
  const percent = parseParity(positionals[0]);
  const dataPath = dataPathOf(values);
  const begin = readFlag<string | undefined>(values, {
    flag: "vault",
    parse: String,
    otherwise: undefined,
  });
  const vault = await withDatabase(dataPath, (db) => findVaultId(db, begin));
  const wanted = { percent, ...(vault === undefined ? {} : { vault }) };
  const results = await askOrDo<VaultParity[]>(dataPath, {
    ...{ kind: "parity", wanted },
    alone: (upkeep) => upkeep.makeParity(wanted),
  });
  for (const result of results) show(result, values.json === true);
  if (results.some((result) => "error" in result)) return ExitCode.DAMAGED;
  const isWhole = percent === 0 || results.every((result) => "made" in result && !result.without);
  return isWhole ? ExitCode.DONE : ExitCode.INCOMPLETE;
}

function show(result: VaultParity, json: boolean): void {
  if (json) return print(JSON.stringify({ event: "parity", ...result }));
  const vault = result.vault.slice(0, 12);
  if ("error" in result) return printError(`${vault}: ${result.error}`);
  const { made, removed, without } = result;
  print(`${vault}  ${made} packs got parity, ${removed} lost it, ${without} have none`);
}
