/** `server vaults`: which vaults there are, and what they use. */
import { UpkeepDatabase, type VaultUse } from "../db_upkeep.ts";
import { VaultDatabase } from "../db_vault.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags } from "../flags.ts";
import { type Command, print } from "../program.ts";
import { DATA_FLAG, DATA_HELP, dataPathOf, JSON_FLAG, withDatabase } from "./operator.ts";
import { type Quota, readQuota } from "./quota.ts";

const HELP = `server vaults: shows which vaults there are, and what they use

Usage: server vaults [flags]

${DATA_HELP}
  --json           one JSON object for each vault on standard output

One line each: id, size of its packs, records, events, damaged records, last collection. Works beside
a running server. Whose a vault is, and what is in it, the server does not know.`;

export const VAULTS_COMMAND: Command = {
  summary: "show which vaults there are, and what they use",
  help: HELP,
  run: vaults,
};

async function vaults(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, { ...DATA_FLAG, ...JSON_FLAG });
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  await withDatabase(dataPathOf(values), async (db) => {
    const upkeep = new UpkeepDatabase(db.sql);
    const vaults = new VaultDatabase(db.sql);
    for (const id of await upkeep.listVaultIds()) {
      const use = await upkeep.findVaultUse(id);
      if (use === undefined) continue;
      show(id, { use, quota: await readQuota(vaults, id), json: values.json === true });
    }
  });
  return ExitCode.DONE;
}

function show(
  vault: string,
  { use, quota, json }: { use: VaultUse; quota: Quota; json: boolean },
): void {
  const { collectedMs, ...counts } = use;
  const collected = collectedMs === 0 ? null : new Date(collectedMs).toISOString();
  if (json) {
    return print(JSON.stringify({ event: "vault", id: vault, ...counts, collected, quota }));
  }
  const of = quota.bytes === undefined ? "" : ` of ${formatByteSize(quota.bytes)}`;
  print(
    `${vault.slice(0, 12)}  ${formatByteSize(use.bytes)}${of}  ${use.records} records  ` +
      `${use.events} events  ${use.damaged} damaged  collected ${collected ?? "never"}`,
  );
}
