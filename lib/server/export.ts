/**
 * Copies one vault out of a store that is in use (docs/store.md, "Export"): its journal first, then every pack, so that
 * each snapshot of the copied journal has its records. Packs are made, moved and deleted meanwhile; a pin keeps what
 * snapshots need from being deleted, and packs are copied until at one moment all that the index knew were there.
 */
import { dirname, join } from "node:path";
import { type BlobStore, FolderBlobs, putBlob, readBlob } from "../blobs.ts";
import { equalBytes } from "../bytes.ts";
import { PackState, type RecordDatabase } from "../db_records.ts";
import type { UpkeepDatabase } from "../db_upkeep.ts";
import type { NamedPack, UsageDatabase } from "../db_usage.ts";
import type { VaultDatabase } from "../db_vault.ts";
import { syncDirectory, writeAll } from "../durable.ts";
import { DamagedError, HoldfastError } from "../errors.ts";
import { EXPORT, STORE } from "../limits.ts";
import { recordId } from "../record.ts";
import type { Clock } from "../time.ts";
import { ExportPin } from "./export_pin.ts";
import { JournalFile } from "./journal_file.ts";
import { packBlobName } from "./pack_reader.ts";
import { JOURNAL_FOLDER, journalPath } from "./vault_journal.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

export interface ExportOptions {
  vault: { number: number; id: Uint8Array };
  /** Data folder that is copied from, and the one that is copied to. */
  from: string;
  to: string;
  db: VaultDatabase;
  records: RecordDatabase;
  upkeep: UpkeepDatabase;
  usage: UsageDatabase;
  clock: Clock;
  /** Told between any two packs. */
  onPack?: (result: ExportResult) => void | Promise<void>;
}

export interface ExportResult {
  /** Number of the newest event that was copied. */
  events: number;
  /** Packs that were copied now; what an earlier run has copied is not copied again. */
  packs: number;
  bytes: number;
  /** Records in force that are damaged or gone here, and so in the copy. */
  damaged: number;
}

/** @throws {DamagedError} if the journal is damaged */
export async function exportVault(options: ExportOptions): Promise<ExportResult> {
  const { vault } = options;
  const result: ExportResult = { events: 0, packs: 0, bytes: 0, damaged: 0 };
  const pin = await ExportPin.open(vault.number, options);
  try {
    // In this order: a snapshot in the copied journal is needed from now on.
    result.events = await copyJournal(options);
    await copyPacks({ ...options, pin, result });
    await pin.renew({ now: true });
  } finally {
    await pin.close();
  }
  result.damaged += await options.upkeep.countDamaged(vault.number);
  return result;
}

/** Replaces an older copy. Returns the number of the newest event. */
async function copyJournal({ vault, db, from, to }: ExportOptions): Promise<number> {
  const newest = await db.findNewestEvent(vault.number);
  if (newest === undefined) throw new DamagedError("Cannot copy journal: it has no events");
  const path = journalPath(to, vault.id);
  await makeFolders(to, vault.id);
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  using journal = await JournalFile.open(journalPath(from, vault.id), {
    vaultId: vault.id,
    newest,
  });
  {
    using file = await Deno.open(temporary, { write: true, createNew: true, mode: FILE_MODE });
    for await (const bytes of journal.copy()) await writeAll(file, bytes);
    await file.sync();
  }
  await Deno.rename(temporary, path);
  await syncDirectory(dirname(path));
  return newest.number;
}

async function makeFolders(to: string, vaultId: Uint8Array): Promise<void> {
  const journals = join(to, JOURNAL_FOLDER);
  await Deno.mkdir(join(journals, vaultId.toHex()), { recursive: true, mode: FOLDER_MODE });
  await syncDirectory(journals);
  await syncDirectory(to);
}

interface Copying extends ExportOptions {
  pin: ExportPin;
  result: ExportResult;
}

async function copyPacks(options: Copying): Promise<void> {
  const { vault, usage, from, to } = options;
  const source = await FolderBlobs.open(join(from, "packs"));
  const target = await FolderBlobs.open(join(to, "packs"));
  const lost = new Set<string>();
  const folder = join(to, "packs", vault.id.toHex());
  const isCopied = (name: string) => lost.has(name) || isFile(join(folder, name));
  for (let pass = 0; pass < EXPORT.passesMax; pass++) {
    for (let after = "", isEnd = false; !isEnd;) {
      const found = await usage.findUncopied(vault.number, {
        ...{ after, max: EXPORT.packsPerPage, isCopied },
      });
      if (after === "" && found.packs.length === 0) return; // all that there are, at this moment
      for (const pack of found.packs) {
        await copyPack(pack, { ...options, source, target, lost });
        after = pack.name;
      }
      isEnd = found.isEnd;
    }
  }
  throw new HoldfastError("Cannot copy vault: new packs come faster than they can be copied", {
    hint: "the same command goes on from there, when less is backed up",
  });
}

async function copyPack(
  pack: NamedPack,
  options: Copying & { source: BlobStore; target: BlobStore; lost: Set<string> },
): Promise<void> {
  const { vault, records, source, target, lost, pin, result } = options;
  await pin.renew();
  const name = packBlobName({ vaultId: vault.id, name: pack.name });
  const bytes = await readBlob(source, name, STORE.packFileBytesMax);
  if (bytes === undefined) {
    // Its records were moved, and lie in a younger pack; or the file is lost.
    const row = await records.findPack(vault.number, pack.name);
    if (row?.state !== PackState.PRESENT) return;
    lost.add(pack.name);
    result.damaged += (await options.upkeep.listPackRecords(row.number)).length;
    return;
  }
  result.damaged += await countWrong(pack, bytes, options);
  await putBlob(target, name, bytes);
  result.packs++;
  result.bytes += bytes.length;
  await options.onPack?.(result);
}

/** Records that lie in this pack by the index, and are not what they were. Those known to be damaged count later. */
async function countWrong(
  pack: NamedPack,
  bytes: Uint8Array,
  { upkeep }: Copying,
): Promise<number> {
  let count = 0;
  for (const { id, offset, size, damaged } of await upkeep.listPackRecords(pack.number)) {
    if (!damaged && !equalBytes(recordId(bytes.subarray(offset, offset + size)), id)) count++;
  }
  return count;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
