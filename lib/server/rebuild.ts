/** `server rebuild`: makes the index of vaults again from packs and journals (docs/store.md, "Durability"). */
import { Database } from "../db.ts";
import { ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { parseChoice, parseFlags, readFlag } from "../flags.ts";
import { Log, type LogFormat } from "../log.ts";
import { type Command, print, printError } from "../program.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { DataFolder } from "./data_folder.ts";
import { VaultStore } from "./vault_store.ts";

const LOG_FLUSH_MS = 1000;

const HELP = `server rebuild: makes the index of all vaults again from packs and journals

Usage: server rebuild [flags]

  --data DIR       data folder (./holdfast-data)
  --log text|json  form of the log on standard error (text)

The server must be stopped. Nothing but the index is changed; one that cannot be opened is kept under
another name, and classic clients must then register again. Exit code 5 says that something is
damaged; the log says what.`;

const FLAGS = { data: { type: "string" }, log: { type: "string" } } as const;

export const REBUILD_COMMAND: Command = {
  summary: "make the index of vaults again from packs and journals",
  help: HELP,
  run: rebuild,
};

async function rebuild(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const path = readFlag(values, { flag: "data", parse: String, otherwise: "holdfast-data" });
  const parse = (text: string) => parseChoice(text, ["text", "json"]);
  const format = readFlag<LogFormat>(values, { flag: "log", parse, otherwise: "text" });
  const log = new Log({ format, sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  using folder = DataFolder.open(path);
  const db = openOrReplace(folder);
  try {
    const options = { dataPath: folder.path, db, log, clock: SYSTEM_CLOCK };
    const { vaults, packsAdopted, damaged } = await VaultStore.rebuild(options);
    print(`${vaults} vaults, ${packsAdopted} packs, ${damaged} damaged`);
    return damaged > 0 ? ExitCode.DAMAGED : ExitCode.DONE;
  } finally {
    db.close();
    await log.flush(LOG_FLUSH_MS);
  }
}

function openOrReplace({ databasePath }: DataFolder): Database {
  try {
    return Database.open(databasePath);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const kept = `${databasePath}.damaged-${SYSTEM_CLOCK.wall()}`;
    for (const suffix of ["", "-wal", "-shm"]) renameIfThere(databasePath + suffix, kept + suffix);
    printError(`warning: ${error.message}; it is kept as ${kept}`);
    return Database.open(databasePath);
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
