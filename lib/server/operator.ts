/**
 * Commands on a store: beside a running server they ask it, through its database; without one they do the work
 * themselves. So there is always one process that changes the store.
 */
import { Database } from "../db.ts";
import { UpkeepDatabase } from "../db_upkeep.ts";
import { VaultDatabase } from "../db_vault.ts";
import { HoldfastError, UsageError } from "../errors.ts";
import { type FlagValues, readFlag } from "../flags.ts";
import { UPKEEP } from "../limits.ts";
import { Log } from "../log.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { BackupSessions } from "./backup_sessions.ts";
import { databasePath, DataFolder } from "./data_folder.ts";
import { openDatabase, Reserve } from "./reserve.ts";
import { Upkeep, UPKEEP_SETTING, type Wanted } from "./upkeep.ts";
import { VaultStore } from "./vault_store.ts";

const LOG_FLUSH_MS = 1000;

/** For `parseFlags`. */
export const DATA_FLAG = { data: { type: "string" } } as const;
export const JSON_FLAG = { json: { type: "boolean" } } as const;
export const VAULT_FLAG = { vault: { type: "string" } } as const;
export const DATA_HELP = `  --data DIR       data folder (./holdfast-data)`;
export const VAULT_HELP = `  --vault ID       only this vault: the beginning of its id`;

export function dataPathOf(values: FlagValues): string {
  return readFlag(values, { flag: "data", parse: String, otherwise: "holdfast-data" });
}

/** The database of a store that is there, whether a server uses it or not. */
export async function withDatabase<T>(
  dataPath: string,
  work: (db: Database) => Promise<T>,
  reserve?: Reserve,
): Promise<T> {
  const path = databasePath(dataPath);
  try {
    Deno.statSync(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new HoldfastError(`Cannot use data folder ${dataPath}: no server has used it`, {
      hint: "--data names another",
    });
  }
  const db = reserve === undefined ? Database.open(path) : openDatabase(path, reserve);
  try {
    return await work(db);
  } finally {
    db.close();
  }
}

/** The vault whose id begins so, hexadecimal; undefined if none was named. @throws {UsageError} */
export async function findVaultId(
  db: Database,
  begin: string | undefined,
): Promise<string | undefined> {
  if (begin === undefined) return undefined;
  const found = await new UpkeepDatabase(db.sql).findVaultIds(begin.toLowerCase());
  if (found.length === 1) return found[0];
  throw new UsageError(`Cannot find vault ${JSON.stringify(begin)}: ${found.length} begin so`, {
    hint: `"server vaults" shows them`,
  });
}

/** Has the running server do something, or does it with `alone`. */
export async function askOrDo<T>(
  dataPath: string,
  { kind, wanted, alone }: {
    kind: string;
    wanted: Wanted;
    alone: (upkeep: Upkeep) => Promise<T>;
  },
): Promise<T> {
  using folder = DataFolder.tryOpen(dataPath);
  if (folder === undefined) return await ask(dataPath, { kind, wanted }) as T;
  const log = new Log({ format: "text", sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  try {
    const clock = SYSTEM_CLOCK;
    const reserve = new Reserve({ dataPath: folder.path, log, clock }); // the next server makes it anew
    return await withDatabase(folder.path, async (db) => {
      const store = await VaultStore.open({ dataPath: folder.path, db, log, clock, reserve });
      try {
        const sessions = await BackupSessions.load(store.db, clock);
        const upkeep = new UpkeepDatabase(db.sql);
        return await alone(Upkeep.alone({ store, sessions, upkeep, log, clock }));
      } finally {
        await store.close();
      }
    }, reserve);
  } finally {
    await log.flush(LOG_FLUSH_MS);
  }
}

async function ask(
  dataPath: string,
  { kind, wanted }: { kind: string; wanted: Wanted },
): Promise<unknown> {
  return await withDatabase(dataPath, async (db) => {
    if (await new VaultDatabase(db.sql).findSetting(UPKEEP_SETTING) === "off") {
      throw new HoldfastError("Cannot ask the running server: it serves no vaults", {
        hint: "stop it first, or start it with --listen HOST:PORT",
      });
    }
    const upkeep = new UpkeepDatabase(db.sql);
    const number = await upkeep.addRequest(kind, JSON.stringify(wanted));
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, UPKEEP.requestMs));
      const text = await upkeep.takeAnswer(number);
      if (text !== undefined) return checkAnswer(JSON.parse(text));
      using folder = DataFolder.tryOpen(dataPath);
      if (folder === undefined) continue;
      await upkeep.removeRequest(number);
      throw gone();
    }
  });
}

function checkAnswer(answer: unknown): unknown {
  if (answer === null) throw gone();
  const error = (answer as { error?: unknown }).error;
  if (typeof error === "string") throw new HoldfastError(error);
  return answer;
}

function gone(): HoldfastError {
  return new HoldfastError("Cannot get an answer: the server has ended meanwhile", {
    hint: "the same command goes on from there, with or without a server",
  });
}
