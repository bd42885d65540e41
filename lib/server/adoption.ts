/**
 * Makes the index agree with packs and journals (docs/store.md, "Durability"): at each start of the server, and from
 * nothing by `server rebuild`. The files are right and the index follows; nothing but the index is changed.
 */
import { join } from "node:path";
import type { BlobStore } from "../blobs.ts";
import { type PackEntry, type PackRow, PackState, type RecordDatabase } from "../db_records.ts";
import type { VaultDatabase, VaultRow } from "../db_vault.ts";
import { DamagedError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { BitSet } from "./bit_set.ts";
import type { PackParity } from "./pack_parity.ts";
import { readPackEntries, salvagePackEntries } from "./pack_reader.ts";
import { adoptParity } from "./parity_adoption.ts";
import { JOURNAL_FOLDER, journalPath, VaultJournal } from "./vault_journal.ts";

export interface AdoptionOptions {
  dataPath: string;
  blobs: BlobStore;
  db: VaultDatabase;
  records: RecordDatabase;
  parity: PackParity;
  log: Log;
  clock: Clock;
}

/** What was found. */
export interface AdoptionResult {
  vaults: number;
  /** Packs that the index did not know. */
  packsAdopted: number;
  /** Vaults, packs or trailers that are damaged or gone. */
  damaged: number;
}

/**
 * @param isWhole whether the index is one that was kept, not one that is made anew: then it has every event that was
 * ever acknowledged
 */
export async function adoptStore(
  options: AdoptionOptions,
  { isWhole }: { isWhole: boolean },
): Promise<AdoptionResult> {
  const result: AdoptionResult = { vaults: 0, packsAdopted: 0, damaged: 0 };
  await options.blobs.sweep();
  await options.parity.files.sweep();
  for (const id of await listJournals(options.dataPath)) {
    const vault = await options.db.findVault(id) ?? await options.db.addVault(id);
    result.vaults++;
    await adoptJournal(vault, { ...options, isWhole, result });
    await adoptPacks(vault, { ...options, result });
  }
  for await (const id of options.db.listVaults()) {
    if (await hasJournal(options.dataPath, id)) continue;
    result.damaged++;
    options.log.warn("journal is gone", { vault: id.toHex() });
  }
  for (const folder of await listStrayFolders(options)) {
    options.log.warn("packs without a vault left alone", { folder });
  }
  return result;
}

type Adopting = AdoptionOptions & { result: AdoptionResult };

/** Ids of the vaults that have a journal. */
async function listJournals(dataPath: string): Promise<Uint8Array[]> {
  const ids: Uint8Array[] = [];
  for await (const entry of Deno.readDir(join(dataPath, JOURNAL_FOLDER))) {
    if (entry.isDirectory && /^[0-9a-f]{64}$/.test(entry.name)) {
      ids.push(Uint8Array.fromHex(entry.name));
    }
  }
  return ids;
}

async function hasJournal(dataPath: string, vaultId: Uint8Array): Promise<boolean> {
  try {
    return (await Deno.stat(journalPath(dataPath, vaultId))).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Indexes the events that are in the file only. */
async function adoptJournal(
  vault: VaultRow,
  options: Adopting & { isWhole: boolean },
): Promise<void> {
  const { log, result, isWhole } = options;
  const before = await options.db.findNewestEvent(vault.number);
  try {
    await using journal = await VaultJournal.open({ ...options, vault }, { isWhole });
    const events = journal.state.newest.number - (before?.number ?? 0);
    if (events > 0) log.info("events adopted", { vault: vault.id.toHex(), events });
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    result.damaged++;
    log.error("journal damaged", error, { vault: vault.id.toHex() });
  }
}

/** Compares the rows of a vault's packs with the files. */
async function adoptPacks(vault: VaultRow, options: Adopting): Promise<void> {
  const { blobs, records, log, result } = options;
  const last = await records.findLastPack();
  const there = new BitSet(last);
  for await (const { name: blobName, size } of blobs.list(vault.id.toHex())) {
    const name = blobName.slice(blobName.indexOf("/") + 1);
    const row = await records.findPack(vault.number, name);
    if (row !== undefined) there.add(row.number);
    if (row?.state === PackState.REMOVED) await blobs.delete(blobName);
    else if (row === undefined || row.state === PackState.GONE) {
      await records.addUnindexedPack(vault.number, { name, bytes: size });
    } else if (size < row.bytes && !(await options.parity.heal(vault, row.number))) {
      await records.markPackCut(vault.number, row.number, size);
      result.damaged++;
      log.warn("pack cut short", { vault: vault.id.toHex(), pack: name });
    }
  }
  await records.forgetRemovedPacks(vault.number);
  await markLostPacks(vault, { ...options, there, last });
  await adoptParity(vault, { ...options, last: await records.findLastPack() });
  await indexPacks(vault, options); // heals what another pack has too
}

/** What lay in packs whose file is gone is damaged. Rows after `last` were added just now. */
async function markLostPacks(
  vault: VaultRow,
  { records, log, result, there, last }: Adopting & { there: BitSet; last: number },
): Promise<void> {
  const lost: PackRow[] = [];
  for await (const row of records.listPacks(vault.number)) {
    if (row.number <= last && !there.has(row.number)) lost.push(row);
  }
  for (const row of lost) {
    await records.markPackCut(vault.number, row.number, 0);
    result.damaged++;
    log.warn("pack is gone", { vault: vault.id.toHex(), pack: row.name });
  }
}

/** Indexes what was noted, the youngest first: of a record that was healed, the younger copy is right. */
async function indexPacks(vault: VaultRow, options: Adopting): Promise<void> {
  const { records, log, result } = options;
  for (let row; (row = await records.findUnindexedPack(vault.number)) !== undefined;) {
    const { bytes, entries } = await readOrSalvage(vault, row, options);
    await records.addPack(vault.number, { name: row.name, bytes, entries });
    result.packsAdopted++;
    log.info("pack adopted", {
      vault: vault.id.toHex(),
      pack: row.name,
      records: entries.length,
    });
  }
}

/** Folders of packs whose journal is not there. */
async function listStrayFolders({ blobs, db }: AdoptionOptions): Promise<string[]> {
  const stray: string[] = [];
  for await (const folder of blobs.listFolders()) {
    const isVault = /^[0-9a-f]{64}$/.test(folder) && await db.findVault(Uint8Array.fromHex(folder));
    if (!isVault) stray.push(folder);
  }
  return stray;
}

/** What a pack has; of one that is damaged, and cannot be repaired, what is left. */
async function readOrSalvage(
  vault: VaultRow,
  { number, name, bytes }: PackRow,
  { blobs, parity, log, result }: Adopting,
): Promise<{ bytes: number; entries: PackEntry[] }> {
  const file = { vaultId: vault.id, name, bytes };
  try {
    return { bytes, entries: await readPackEntries(blobs, file) };
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    if (await parity.heal(vault, number)) {
      const whole = { ...file, bytes: (await parity.rows.find(number))!.bytes };
      return { bytes: whole.bytes, entries: await readPackEntries(blobs, whole) };
    }
    result.damaged++;
    log.error("pack damaged", error, { vault: vault.id.toHex(), pack: name });
    return { bytes, entries: await salvagePackEntries(blobs, file) };
  }
}
