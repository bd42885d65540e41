/**
 * Makes the rows of `files` agree with the folder `files/` at start-up. A crash can fall between a file's rename and its
 * row: the file was received whole and confirmed, so it wins.
 */
import { join } from "node:path";
import { Checksum } from "../checksum.ts";
import type { ClientRow, Database, FileRow } from "../db.ts";
import type { Log } from "../log.ts";
import { type Clock, timestamp } from "../time.ts";
import { originalName, storedName } from "./file_names.ts";

const PIECE_BYTES = 1024 * 1024;

export interface ReconcileOptions {
  dataPath: string;
  db: Database;
  log: Log;
  clock: Clock;
}

export async function reconcileFiles(options: ReconcileOptions): Promise<void> {
  await markMissingFiles(options);
  const filesPath = join(options.dataPath, "files");
  for await (const folder of Deno.readDir(filesPath)) {
    if (!folder.isDirectory || !/^[0-9a-f]{32}$/.test(folder.name)) continue;
    const clientId = Uint8Array.fromHex(folder.name);
    const client = await options.db.findClient(clientId);
    if (!client) continue;
    for await (const entry of Deno.readDir(join(filesPath, folder.name))) {
      if (entry.isFile) await adoptFile({ client, name: entry.name }, options);
    }
  }
}

async function markMissingFiles({ dataPath, db, log }: ReconcileOptions): Promise<void> {
  const missing: FileRow[] = [];
  for await (const row of db.listFiles()) {
    if (row.verified && !isFile(join(dataPath, row.pathName))) missing.push(row);
  }
  for (const row of missing) {
    await db.markMissing(row);
    const client = await db.findClient(row.clientId);
    log.warn("file is missing", { client: client?.name, file: row.fileName });
  }
}

/** Gives a file its row, unless it has the right one. */
async function adoptFile(
  { client, name }: { client: ClientRow; name: string },
  { dataPath, db, log, clock }: ReconcileOptions,
): Promise<void> {
  const fileName = originalName(name);
  if (storedName(fileName) !== name) return; // not put here by this program
  const clientId = client.id;
  const pathName = `files/${clientId.toHex()}/${name}`;
  const path = join(dataPath, pathName);
  const { size, mtime } = Deno.statSync(path);
  const row = await db.findFile(clientId, fileName);
  // A file is written before its row: one that is not older than its row is another one.
  const unchanged = row?.verified && row.size === size && mtime !== null &&
    mtime.toISOString() < row.storedAt;
  if (unchanged) return;
  const checksum = sumFile(path);
  await db.putFile({ clientId, fileName, pathName, size, checksum, storedAt: timestamp(clock) });
  log.warn("file adopted", { client: client.name, file: fileName, bytes: size });
}

function isFile(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function sumFile(path: string): number {
  using file = Deno.openSync(path, { read: true });
  const sum = new Checksum();
  const piece = new Uint8Array(PIECE_BYTES);
  for (let count; (count = file.readSync(piece)) !== null;) sum.update(piece.subarray(0, count));
  return sum.value();
}
