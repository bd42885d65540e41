/**
 * Looks at a pack that has parity, and repairs it (docs/store.md, "Parity"). What was repaired is to the byte the pack of
 * which the parity was made, with each record that of its id; or nothing is changed.
 */
import { type BlobStore, putBlob } from "../blobs.ts";
import { equalBytes } from "../bytes.ts";
import type { ParityDatabase, ParityRow } from "../db_parity.ts";
import type { PackEntry, RecordDatabase } from "../db_records.ts";
import type { UpkeepDatabase } from "../db_upkeep.ts";
import { DamagedError, describeError } from "../errors.ts";
import type { Log } from "../log.ts";
import { recordId } from "../record.ts";
import { checkWholePack, packBlobName } from "./pack_reader.ts";
import { findWrongBlocks, type Pause, recoverBlocks, type WrongBlocks } from "./parity_blocks.ts";
import { type ParityFiles, readWhatCan } from "./parity_files.ts";
import { decodeParity, type Parity } from "./parity_format.ts";

export interface VaultName {
  number: number;
  id: Uint8Array;
}

export interface PackRepairOptions {
  blobs: BlobStore;
  files: ParityFiles;
  rows: ParityDatabase;
  records: RecordDatabase;
  upkeep: UpkeepDatabase;
  log: Log;
}

/** What became of a pack. */
export interface Repair {
  /** Whether the pack is now what it was. */
  isRight: boolean;
  /** Records that were wrong, and are right again. */
  records: number;
  /** Whether its parity is not what it was. What is left of it may still repair. */
  isRotten: boolean;
}

export const BEYOND_REPAIR: Repair = { isRight: false, records: 0, isRotten: false };

export class PackRepair {
  readonly #options: PackRepairOptions;

  constructor(options: PackRepairOptions) {
    this.#options = options;
  }

  /** Repairs a pack if it has parity, and is not what it was. */
  async repair(vault: VaultName, row: ParityRow, pause: Pause): Promise<Repair> {
    const { log, rows } = this.#options;
    if (row.parity <= 0) return BEYOND_REPAIR;
    const parity = await this.#readParity(vault, row);
    if (parity === undefined) return BEYOND_REPAIR;
    const pack = await this.#readPack(vault, { name: row.name, bytes: parity.head.packBytes });
    if (pack === undefined) return BEYOND_REPAIR;
    const wrong = await findWrongBlocks(pack.bytes, parity, pause);
    const isRotten = !parity.isSound || wrong.parity.size > 0;
    if (isRotten) log.warn("parity damaged", { vault: vault.id.toHex(), pack: row.name });
    if (wrong.data.size === 0 && pack.fileBytes === parity.head.packBytes) {
      if (row.bytes !== pack.fileBytes) await rows.setBytes(row, pack.fileBytes);
      return { isRight: true, records: 0, isRotten };
    }
    const repaired = await this.#repair(vault, { row, parity, bytes: pack.bytes, wrong, pause });
    return repaired === undefined ? BEYOND_REPAIR : { isRight: true, records: repaired, isRotten };
  }

  /** Undefined if nothing can be had of it: then the pack has none. */
  async #readParity(vault: VaultName, row: ParityRow): Promise<Parity | undefined> {
    const { log, files, rows } = this.#options;
    let reason = "it is gone";
    try {
      const file = await files.read({ vaultId: vault.id, name: row.name });
      const parity = file && decodeParity(file);
      const head = parity?.head;
      if (head?.pack === row.name && equalBytes(head.vaultId, vault.id)) return parity;
      if (head !== undefined) reason = "it is that of another pack";
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      reason = describeError(error);
    }
    log.warn("parity lost", { vault: vault.id.toHex(), pack: row.name, reason });
    await rows.setParity(row, 0);
    return undefined;
  }

  /**
   * A pack as long as it was, with zeros where the disk cannot read or the file is too short; undefined if it is gone, which
   * no parity of this size can make good.
   */
  async #readPack(
    vault: VaultName,
    { name, bytes: size }: { name: string; bytes: number },
  ): Promise<{ bytes: Uint8Array; fileBytes: number } | undefined> {
    const { blobs } = this.#options;
    const blob = packBlobName({ vaultId: vault.id, name });
    const fileBytes = await blobs.size(blob);
    if (fileBytes === undefined) return undefined;
    const bytes = new Uint8Array(size);
    await readWhatCan(blobs, blob, bytes);
    return { bytes, fileBytes };
  }

  /** Returns how many records were wrong; undefined if they still are. */
  async #repair(
    vault: VaultName,
    { row, parity, bytes, wrong, pause }: {
      row: ParityRow;
      parity: Parity;
      bytes: Uint8Array;
      wrong: WrongBlocks;
      pause: Pause;
    },
  ): Promise<number | undefined> {
    const { log, records, upkeep } = this.#options;
    const about = { vault: vault.id.toHex(), pack: row.name, blocks: wrong.data.size };
    const entries = await upkeep.listPackRecords(row.number);
    const count = entries.filter((entry) => !isRight(bytes, entry)).length;
    if (!(await recover(bytes, { ...parity, vaultId: vault.id, wrong, pause }))) {
      log.warn("pack beyond repair", about);
      return undefined;
    }
    if (!(await this.#replacePack(vault, { row, bytes }))) return undefined;
    const places = entries.filter((entry) => entry.damaged && isRight(bytes, entry))
      .map(({ id, offset }) => ({ id, offset, pack: row.number }));
    await records.markMended(vault.number, places);
    log.warn("pack repaired", { ...about, records: count });
    return count;
  }

  /** Puts a pack in place of what is left of it. False if it was removed meanwhile. */
  async #replacePack(
    vault: VaultName,
    { row, bytes }: { row: ParityRow; bytes: Uint8Array },
  ): Promise<boolean> {
    const { blobs, rows } = this.#options;
    const blob = packBlobName({ vaultId: vault.id, name: row.name });
    await putBlob(blobs, blob, bytes);
    if (await rows.setBytes(row, bytes.length)) return true;
    await blobs.delete(blob);
    return false;
  }
}

/** False if the parity cannot tell what the pack was. */
async function recover(
  bytes: Uint8Array,
  { vaultId, pause, ...options }: Parity & {
    vaultId: Uint8Array;
    wrong: WrongBlocks;
    pause: Pause;
  },
): Promise<boolean> {
  if (!(await recoverBlocks(bytes, { ...options, pause }))) return false;
  try {
    await checkWholePack(bytes, { vaultId, pause });
    return true;
  } catch (error) {
    if (error instanceof DamagedError) return false;
    throw error;
  }
}

function isRight(pack: Uint8Array, { id, offset, size }: PackEntry): boolean {
  return equalBytes(recordId(pack.subarray(offset, offset + size)), id);
}
