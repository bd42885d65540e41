/** `server backup-db`: a consistent copy of the database, made beside a running server (docs/operations.md). */
import { basename, dirname, join } from "node:path";
import { Database } from "../db.ts";
import { removeIfThere, syncDirectory } from "../durable.ts";
import { DamagedError, ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { formatByteSize, parseFlags } from "../flags.ts";
import { type Command, print } from "../program.ts";
import { DATA_FLAG, DATA_HELP, dataPathOf, JSON_FLAG, withDatabase } from "./operator.ts";

const FILE_MODE = 0o600;

const HELP = `server backup-db: copies the database, also beside a running server

Usage: server backup-db [flags] --to FILE

${DATA_HELP}
  --to FILE        the copy; must not be there
  --json           one JSON object on standard output

The copy is of one moment, checked, and on the disk when the command ends. It holds the classic clients
with their newest AES keys, quotas, and open invites: protect it as you protect the data folder. Vaults
do not need it, because "server rebuild" makes their index again from packs and journals. For a full
restore copy, in this order: this, journal/, packs/, files/, server.key and server.crt.`;

export const BACKUP_DB_COMMAND: Command = {
  summary: "copy the database, also beside a running server",
  help: HELP,
  run: backupDatabase,
};

async function backupDatabase(args: string[]): Promise<number> {
  const flags = { ...DATA_FLAG, ...JSON_FLAG, to: { type: "string" } } as const;
  const { values, positionals } = parseFlags(args, flags);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const to = values.to;
  if (typeof to !== "string" || to === "") {
    throw new UsageError("Cannot copy database: --to FILE is needed");
  }
  const bytes = await withDatabase(dataPathOf(values), (db) => copyDatabase(db, to));
  if (values.json === true) print(JSON.stringify({ event: "copied", path: to, bytes }));
  else print(`${to}  ${formatByteSize(bytes)}`);
  return ExitCode.DONE;
}

/** Returns the size of the copy in bytes. It is there whole, or not at all. */
async function copyDatabase(db: Database, to: string): Promise<number> {
  const temporary = join(dirname(to), `.${basename(to)}.${crypto.randomUUID().slice(0, 8)}.tmp`);
  refuseIfThere(to);
  try {
    // SQLite would let others read it.
    (await Deno.open(temporary, { write: true, createNew: true, mode: FILE_MODE })).close();
    await db.sql.copyInto(temporary);
    checkCopy(temporary);
    const size = await flush(temporary);
    refuseIfThere(to);
    await Deno.rename(temporary, to);
    await syncDirectory(dirname(to));
    return size;
  } finally {
    for (const suffix of ["", "-wal", "-shm"]) await removeIfThere(temporary + suffix);
  }
}

/** Returns the size of the file in bytes. */
async function flush(path: string): Promise<number> {
  using file = await Deno.open(path, { write: true });
  await file.sync();
  return (await file.stat()).size;
}

function refuseIfThere(path: string): void {
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new HoldfastError(`Cannot copy database: ${path} is there already`, {
    hint: "name another file, or move that one away",
  });
}

function checkCopy(path: string): void {
  const copy = Database.open(path);
  try {
    if (!copy.sql.isSound()) {
      throw new DamagedError("Cannot copy database: it is damaged", {
        hint: 'stop the server and run "server rebuild"',
      });
    }
  } finally {
    copy.close();
  }
}
