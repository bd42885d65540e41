/**
 * Keeps what a vault's snapshots need from being deleted while somebody copies it (docs/store.md, "Export"): a backup
 * session that no device can use. Collection deletes nothing that was condemned since it was opened. One whose process
 * has ended is recognised by its time, and counts no more.
 */
import type { VaultDatabase } from "../db_vault.ts";
import { HoldfastError } from "../errors.ts";
import { EXPORT } from "../limits.ts";
import type { Clock } from "../time.ts";

/** No device's id: ids are hashes. */
export const EXPORT_DEVICE = new Uint8Array(16);

export class ExportPin {
  readonly #vault: number;
  readonly #db: VaultDatabase;
  readonly #clock: Clock;
  readonly #id = crypto.getRandomValues(new Uint8Array(16));
  #renewedMs = -Infinity;

  private constructor(vault: number, { db, clock }: { db: VaultDatabase; clock: Clock }) {
    this.#vault = vault;
    this.#db = db;
    this.#clock = clock;
  }

  static async open(
    vault: number,
    options: { db: VaultDatabase; clock: Clock },
  ): Promise<ExportPin> {
    const pin = new ExportPin(vault, options);
    const openedMs = options.clock.wall();
    await pin.#db.addSession(vault, { id: pin.#id, device: EXPORT_DEVICE, openedMs });
    pin.#renewedMs = options.clock.elapsed();
    return pin;
  }

  /**
   * To be called between any two steps, and at the end.
   *
   * @throws {HoldfastError} if it was taken for one that has ended
   */
  async renew({ now = false } = {}): Promise<void> {
    const elapsedMs = this.#clock.elapsed();
    if (!now && elapsedMs - this.#renewedMs < EXPORT.renewMs) return;
    this.#renewedMs = elapsedMs;
    const timeMs = this.#clock.wall();
    if (await this.#db.renewSession(this.#vault, { id: this.#id, openedMs: timeMs })) return;
    throw new HoldfastError("Cannot go on: collection may have deleted what was to be copied", {
      hint: "the process or the machine slept too long; the same command goes on from there",
    });
  }

  async close(): Promise<void> {
    await this.#db.removeSession(this.#vault, this.#id);
  }
}

/** Takes the pins away whose process has ended. To be called before sessions are asked for their epochs. */
export async function removeDeadPins(db: VaultDatabase, clock: Clock): Promise<void> {
  const nowMs = clock.wall();
  await db.removeSessionsOf(EXPORT_DEVICE, {
    beforeMs: nowMs - EXPORT.pinMs,
    afterMs: nowMs + EXPORT.pinMs,
  });
}
