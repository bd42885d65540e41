/**
 * Watches the wall clock against the one that only grows (docs/store.md, "Time"). After a step of more than an hour
 * nothing expires before the operator has said that the clock is right.
 */
import type { VaultDatabase } from "../db_vault.ts";
import { UPKEEP } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";

const SEEN_SETTING = "clock.seen";
const STEPPED_SETTING = "clock.stepped";

export interface ClockGuardOptions {
  db: VaultDatabase;
  clock: Clock;
  log: Log;
}

export class ClockGuard {
  readonly #options: ClockGuardOptions;
  #wallMs: number;
  #elapsedMs: number;
  #notedMs: number;

  private constructor(options: ClockGuardOptions) {
    const { clock } = options;
    this.#options = options;
    this.#wallMs = clock.wall();
    this.#elapsedMs = clock.elapsed();
    this.#notedMs = this.#elapsedMs;
  }

  /** Begins to watch. A clock that is behind the time at which it was last seen has been set back. */
  static async start(options: ClockGuardOptions): Promise<ClockGuard> {
    const guard = new ClockGuard(options);
    const seenMs = Number(await options.db.findSetting(SEEN_SETTING) ?? 0);
    const behindMs = seenMs - guard.#wallMs;
    if (behindMs > UPKEEP.clockStepMs) await guard.#stop(-behindMs);
    else await guard.#note();
    return guard;
  }

  /** To be called several times a second. */
  async tick(): Promise<void> {
    const { clock } = this.#options;
    const [wallMs, elapsedMs] = [clock.wall(), clock.elapsed()];
    const stepMs = (wallMs - this.#wallMs) - (elapsedMs - this.#elapsedMs);
    this.#wallMs = wallMs;
    this.#elapsedMs = elapsedMs;
    if (Math.abs(stepMs) > UPKEEP.clockStepMs) await this.#stop(stepMs);
    else if (elapsedMs - this.#notedMs >= UPKEEP.clockNoteMs) await this.#note();
  }

  /** Since when the clock is not believed, for people; undefined if it is. */
  static async findStep(db: VaultDatabase): Promise<string | undefined> {
    const text = await db.findSetting(STEPPED_SETTING);
    return text === "" ? undefined : text;
  }

  /** The operator says that the clock is right. */
  static async confirm(db: VaultDatabase, clock: Clock): Promise<void> {
    await db.setSetting(SEEN_SETTING, String(clock.wall()));
    await db.setSetting(STEPPED_SETTING, "");
  }

  async #stop(stepMs: number): Promise<void> {
    const { db, log, clock } = this.#options;
    const text =
      `${stepMs > 0 ? "forward" : "back"} by ${Math.round(Math.abs(stepMs) / 1000)} s, ` +
      `to ${new Date(clock.wall()).toISOString()}`;
    await db.setSetting(STEPPED_SETTING, text);
    log.warn("clock was set: nothing expires", {
      step: text,
      confirm: "server gc --confirm-clock",
    });
  }

  async #note(): Promise<void> {
    this.#notedMs = this.#elapsedMs;
    // After a step back the later time stays, until it is confirmed.
    if (await ClockGuard.findStep(this.#options.db) !== undefined) return;
    await this.#options.db.setSetting(SEEN_SETTING, String(this.#wallMs));
  }
}
