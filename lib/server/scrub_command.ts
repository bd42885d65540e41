/** `server scrub`: reads all that is stored and compares it with what it was. */
import { ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags, readFlag } from "../flags.ts";
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
import type { VaultScrubbed } from "./upkeep.ts";

const HELP = `server scrub: reads all that is stored and compares it with what it was

Usage: server scrub [flags]

${DATA_HELP}
${VAULT_HELP}
  --json           one JSON object for each vault on standard output

A running server does it by itself, slowly, each pack once in 30 days; then this command asks it to
read everything now. Otherwise it reads itself. What is damaged is repaired from parity ("server serve
--parity"), as far as that goes. What is not is noted: the next backup of a device that still has the
contents sends them again. Exit code 5 says that something is damaged still.`;

export const SCRUB_COMMAND: Command = {
  summary: "compare all that is stored with what it was",
  help: HELP,
  run: scrub,
};

async function scrub(args: string[]): Promise<number> {
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
    ...{ kind: "scrub", wanted },
    alone: (upkeep) => upkeep.scrub(wanted),
  });
  for (const result of results) show(result, values.json === true);
  return results.some((result) => "error" in result || result.damagedInAll > 0)
    ? ExitCode.DAMAGED
    : ExitCode.DONE;
}

function show(result: VaultScrubbed, json: boolean): void {
  if (json) return print(JSON.stringify({ event: "scrubbed", ...result }));
  const vault = result.vault.slice(0, 12);
  if ("error" in result) return printError(`${vault}: ${result.error}`);
  const { packs, records, bytes, damaged, damagedInAll, repaired, mended } = result;
  print(
    `${vault}  ${packs} packs, ${records} records, ${formatByteSize(bytes)} read, ` +
      `${damaged} found damaged, ${repaired} repaired, ${mended} right again, ${damagedInAll} damaged in all`,
  );
}
