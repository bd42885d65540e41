/**
 * Parity of the packs of all vaults (docs/store.md, "Parity"): makes it for packs that are what the server wrote, and
 * repairs packs that are not any more. A pack that was repaired is to the byte the one of which the parity was made, or
 * nothing is changed. One pack at a time: each is in memory whole.
 */
import { readBlob } from "../blobs.ts";
import { type ParityDatabase, type ParityRow, UNSOUND } from "../db_parity.ts";
import { isNoSpace, isUnreadable } from "../durable.ts";
import { DamagedError, describeError } from "../errors.ts";
import { PARITY, STORE } from "../limits.ts";
import type { Clock } from "../time.ts";
import type { Metrics } from "./metrics.ts";
import { checkWholePack, packBlobName } from "./pack_reader.ts";
import {
  BEYOND_REPAIR,
  PackRepair,
  type PackRepairOptions,
  type Repair,
  type VaultName,
} from "./pack_repair.ts";
import { makeParity, type Pause } from "./parity_blocks.ts";
import type { ParityFiles } from "./parity_files.ts";
import type { Reserve } from "./reserve.ts";
import { StoppedError } from "./throttle.ts";

export interface PackParityOptions extends PackRepairOptions {
  clock: Clock;
  reserve?: Reserve;
  metrics?: Metrics;
  /** Size of new parity, in hundredths of the pack's; without it none is made unless a command asks. */
  percent?: number;
}

type PackName = Pick<ParityRow, "number" | "name">;

export class PackParity {
  readonly #options: PackParityOptions;
  readonly #repair: PackRepair;
  #last: Promise<unknown> = Promise.resolve();
  /** Of `clock.elapsed()`: until then nothing is made, for something failed. */
  #retryMs = -Infinity;
  /** When packs could not be repaired, by their number; of `clock.elapsed()`. */
  readonly #failed = new Map<number, number>();

  constructor(options: PackParityOptions) {
    this.#options = options;
    this.#repair = new PackRepair(options);
  }

  /** In hundredths; undefined if none is made. */
  get percent(): number | undefined {
    return this.#options.percent;
  }

  get rows(): ParityDatabase {
    return this.#options.rows;
  }

  get files(): ParityFiles {
    return this.#options.files;
  }

  /** Whether there is room for more, as far as one knows. */
  get hasRoom(): boolean {
    const { reserve, clock } = this.#options;
    return !reserve?.isFull && clock.elapsed() >= this.#retryMs;
  }

  /** Makes the parity of a pack. False if the pack is not what it was, or there is no room, which is logged. */
  make(
    vault: VaultName,
    pack: PackName,
    options: { percent: number; pause: Pause },
  ): Promise<boolean> {
    return this.#alone(() => this.#make(vault, pack, options));
  }

  /** Makes that of all packs of a vault that have none. Returns how many got it. */
  async makeAll(
    vault: VaultName,
    options: { percent: number; pause: Pause },
  ): Promise<number> {
    let count = 0;
    for (let pack: ParityRow | undefined, after = 0;; after = pack.number) {
      pack = await this.rows.findBareOf(vault.number, after);
      if (pack === undefined || !this.hasRoom) return count;
      if (await this.make(vault, pack, options)) count++;
    }
  }

  /** Makes that of some packs, of any vault, that have none: for some seconds. */
  async makeSome(options: { percent: number; pause: Pause }): Promise<void> {
    const startedMs = this.#options.clock.elapsed();
    while (this.hasRoom && this.#options.clock.elapsed() - startedMs < PARITY.turnMs) {
      const pack = await this.rows.findBare();
      if (pack === undefined) return;
      await this.make(pack.vault, pack, options);
    }
  }

  /** The same for a pack that has none, where parity is made and there is room. */
  async makeMissing(vault: VaultName, pack: { number: number }, pause: Pause): Promise<boolean> {
    const { percent } = this;
    if (percent === undefined || !this.hasRoom) return false;
    const row = await this.rows.find(pack.number);
    if (row === undefined || row.parity > 0) return false;
    return await this.make(vault, row, { percent, pause });
  }

  /** Looks at a pack that has parity, and at its parity; repairs the pack if it is not what it was. */
  scrub(vault: VaultName, pack: { number: number }, pause: Pause): Promise<Repair> {
    return this.#alone(() => this.#scrub(vault, pack, pause));
  }

  /**
   * Repairs a pack of which somebody has read something wrong. False if it cannot be repaired; then the next who comes
   * soon is told so at once.
   */
  async heal(vault: VaultName, pack: number): Promise<boolean> {
    const { clock } = this.#options;
    const failedMs = this.#failed.get(pack) ?? -Infinity;
    if (clock.elapsed() - failedMs < PARITY.failedMs) return false;
    if (((await this.rows.find(pack))?.parity ?? 0) <= 0) return false;
    const { isRight } = await this.scrub(vault, { number: pack }, nextTurn);
    if (!isRight) this.#noteFailed(pack);
    return isRight;
  }

  /** Removes the parity of a pack that is removed. */
  async remove(vault: VaultName, { name }: { name: string }): Promise<void> {
    await this.files.delete({ vaultId: vault.id, name });
  }

  /** Removes all parity of a vault. Returns how many files. */
  async removeAll(vault: VaultName, pause: Pause): Promise<number> {
    await this.rows.clear(vault.number);
    let count = 0;
    for await (const { name } of this.files.list(vault.id)) {
      await this.remove(vault, { name });
      count++;
      await pause();
    }
    return count;
  }

  async #make(
    vault: VaultName,
    pack: PackName,
    { percent, pause }: { percent: number; pause: Pause },
  ): Promise<boolean> {
    const { log, blobs } = this.#options;
    const name = { vaultId: vault.id, name: pack.name };
    let parity: Uint8Array;
    try {
      const bytes = await readBlob(blobs, packBlobName(name), STORE.packFileBytesMax);
      if (bytes === undefined) throw new DamagedError("Cannot read pack: it is gone or too large");
      await checkWholePack(bytes, { vaultId: vault.id, pause });
      parity = await makeParity(bytes, { ...name, percent, pause });
    } catch (error) {
      if (!(error instanceof DamagedError) && !isUnreadable(error)) {
        this.#retryMs = this.#options.clock.elapsed() + PARITY.retryMs;
        throw error;
      }
      await this.rows.setParity(pack, UNSOUND); // the next scrub tries again
      const reason = describeError(error);
      log.warn("no parity made", { vault: vault.id.toHex(), pack: pack.name, reason });
      return false;
    }
    if (!(await this.#put(name, parity))) return false;
    // It may have been removed meanwhile.
    if (!(await this.rows.setParity(pack, parity.length))) await this.files.delete(name);
    return true;
  }

  /** Parity can wait: a full disk does not get the reserve for it. */
  async #put(name: { vaultId: Uint8Array; name: string }, bytes: Uint8Array): Promise<boolean> {
    const { log, clock } = this.#options;
    if (!this.hasRoom) return false;
    try {
      await this.files.put(name, bytes);
      return true;
    } catch (error) {
      this.#retryMs = clock.elapsed() + PARITY.retryMs;
      const about = { vault: name.vaultId.toHex(), pack: name.name };
      if (isNoSpace(error)) log.warn("no room for parity", about);
      else log.error("cannot write parity", error, about);
      return false;
    }
  }

  async #scrub(
    vault: VaultName,
    { number }: { number: number },
    pause: Pause,
  ): Promise<Repair> {
    const { log, metrics, percent } = this.#options;
    const row = await this.rows.find(number);
    if (row === undefined) return BEYOND_REPAIR;
    try {
      const repair = await this.#repair.repair(vault, row, pause);
      metrics?.add("holdfast_repaired_records_total", "", repair.records);
      if (repair.isRight && repair.isRotten && percent !== undefined) {
        await this.#make(vault, row, { percent, pause });
      }
      return repair;
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      // Whoever reads or compares goes on: what is wrong is damaged then.
      log.error("cannot repair pack", error, { vault: vault.id.toHex(), pack: row.name });
      return BEYOND_REPAIR;
    }
  }

  #noteFailed(pack: number): void {
    if (this.#failed.size >= PARITY.failedMax) this.#failed.clear();
    this.#failed.set(pack, this.#options.clock.elapsed());
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return await done;
  }
}

/** Lets others have the thread. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
