/** `server export`: copies one vault to a folder that another server can take over. */
import { join } from "node:path";
import { equalBytes } from "../bytes.ts";
import { RecordDatabase } from "../db_records.ts";
import { UpkeepDatabase } from "../db_upkeep.ts";
import { UsageDatabase } from "../db_usage.ts";
import { VaultDatabase } from "../db_vault.ts";
import { writeFileDurably } from "../durable.ts";
import { ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags } from "../flags.ts";
import { type Command, print, printError } from "../program.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { DataFolder } from "./data_folder.ts";
import { type ExportResult, exportVault } from "./export.ts";
import {
  DATA_FLAG,
  DATA_HELP,
  dataPathOf,
  findVaultId,
  JSON_FLAG,
  withDatabase,
} from "./operator.ts";

const KEY_MODE = 0o600;
const KEY_FILES = ["server.key", "server.crt"];

const HELP = `server export: copies one vault to a folder that another server can take over

Usage: server export [flags] VAULT --to DIR

VAULT is the beginning of an id that "server vaults" shows.

${DATA_HELP}
  --to DIR         a folder of its own, or one with an earlier copy: what is there is not copied again
  --server-key     copy server.key and server.crt too. Clients go only to a server with this key; whoever
                   has it can be this server
  --json           one JSON object on standard output

Works beside a running server, while backups are made and collection runs. Each record is compared with
its id. "server rebuild --data DIR" makes the copy a data folder. Quotas and open invites are not
copied. Exit code 5 says that something is damaged, here and so in the copy.`;

const FLAGS = {
  ...DATA_FLAG,
  ...JSON_FLAG,
  to: { type: "string" },
  "server-key": { type: "boolean" },
} as const;

export const EXPORT_COMMAND: Command = {
  summary: "copy a vault to a folder that another server can take over",
  help: HELP,
  run: exportOne,
};

async function exportOne(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  const to = values.to;
  if (positionals.length !== 1 || typeof to !== "string" || to === "") {
    throw new UsageError("Cannot export: one vault and --to DIR are needed", {
      hint: `"server vaults" shows the vaults`,
    });
  }
  const from = dataPathOf(values);
  const result = await withDatabase(from, async (db) => {
    const id = (await findVaultId(db, positionals[0]))!;
    const vaults = new VaultDatabase(db.sql);
    const vault = (await vaults.findVault(Uint8Array.fromHex(id)))!;
    refuseSame(from, to);
    using folder = DataFolder.open(to); // nobody may use a copy that is not whole
    const keys = values["server-key"] === true ? await readKeys(from, to) : [];
    const copied = await exportVault({
      ...{ vault, from, to: folder.path, db: vaults, clock: SYSTEM_CLOCK },
      records: new RecordDatabase(db.sql),
      upkeep: new UpkeepDatabase(db.sql),
      usage: new UsageDatabase(db.sql),
    });
    for (const { name, bytes } of keys) {
      await writeFileDurably(join(to, name), bytes, { mode: KEY_MODE });
    }
    return { vault: id, ...copied };
  });
  show(result, values.json === true);
  return result.damaged > 0 ? ExitCode.DAMAGED : ExitCode.DONE;
}

function show({ vault, ...result }: ExportResult & { vault: string }, json: boolean): void {
  if (json) return print(JSON.stringify({ event: "exported", vault, ...result }));
  const { events, packs, bytes, damaged } = result;
  print(`${vault.slice(0, 12)}  ${events} events, ${packs} packs, ${formatByteSize(bytes)} copied`);
  if (damaged > 0) printError(`${vault.slice(0, 12)}: ${damaged} records are damaged`);
}

function refuseSame(from: string, to: string): void {
  try {
    if (Deno.realPathSync(from) !== Deno.realPathSync(to)) return;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new UsageError("Cannot export: --to is the data folder itself");
}

/** What to copy. @throws {HoldfastError} if the folder belongs to a server with another key */
async function readKeys(
  from: string,
  to: string,
): Promise<{ name: string; bytes: Uint8Array }[]> {
  const keys: { name: string; bytes: Uint8Array }[] = [];
  for (const name of KEY_FILES) {
    const bytes = await readIfThere(join(from, name));
    if (bytes === undefined) throw new HoldfastError(`Cannot copy ${name}: it is not there`);
    const other = await readIfThere(join(to, name));
    if (name === KEY_FILES[0] && other !== undefined && !equalBytes(other, bytes)) {
      throw new HoldfastError(`Cannot copy ${name}: ${to} has another one`, {
        hint: "its own clients would not trust it any more; export to a folder of its own",
      });
    }
    keys.push({ name, bytes });
  }
  return keys;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
