/**
 * What a vault may use at most, as the operator has set it (docs/operations.md, "Quotas"). A refusal names its quota, and
 * loses nothing: what is there stays, and collection needs no room of it.
 */
import type { UpkeepDatabase } from "../db_upkeep.ts";
import type { VaultDatabase } from "../db_vault.ts";
import { formatByteSize } from "../flags.ts";
import type { JournalState } from "../journal_state.ts";
import { UPKEEP } from "../limits.ts";
import { ErrorCode } from "../protocol_v4.ts";
import type { QuotaBounds } from "../protocol_v4_usage.ts";
import type { Clock } from "../time.ts";
import type { Reserve } from "./reserve.ts";
import { RequestError } from "./request_error.ts";

export type Quota = QuotaBounds;

/** The settings outlive the index, so that `server rebuild` keeps them. */
function settingOf(vaultId: string): string {
  return `quota ${vaultId}`;
}

/** @param vaultId hexadecimal */
export async function readQuota(db: VaultDatabase, vaultId: string): Promise<Quota> {
  return JSON.parse(await db.findSetting(settingOf(vaultId)) ?? "{}");
}

export async function writeQuota(db: VaultDatabase, vaultId: string, quota: Quota): Promise<void> {
  await db.setSetting(settingOf(vaultId), JSON.stringify(quota));
}

export interface VaultQuotaOptions {
  vault: { number: number; id: Uint8Array };
  db: VaultDatabase;
  upkeep: UpkeepDatabase;
  clock: Clock;
  /** Of all vaults. */
  reserve?: Reserve;
  /** In place of waiting, for tests. */
  sleep?: (ms: number) => Promise<void>;
}

/** A vault's quota against what it uses. Looked up anew now and then. */
export class VaultQuota {
  readonly #options: VaultQuotaOptions;
  #lookedMs = -Infinity;
  #quota: Quota = {};
  #usedBytes = 0;
  /** When what devices have stored would be stored at their rate, of `clock.elapsed()`, by id. */
  readonly #busyUntilMs = new Map<string, number>();

  constructor(options: VaultQuotaOptions) {
    this.#options = options;
  }

  /** Before a record is stored. @throws {RequestError} `NO_SPACE` */
  async takeBytes(bytes: number): Promise<void> {
    this.#options.reserve?.check("store");
    await this.#look();
    const { bytes: max } = this.#quota;
    if (max !== undefined && this.#usedBytes + bytes > max) {
      throw refusal("store", `quota of ${formatByteSize(max)}`);
    }
    this.#usedBytes += bytes;
  }

  /** Before a record is stored: waits until the device may go on. All its connections wait together; nothing fails. */
  async pace(device: Uint8Array, bytes: number): Promise<void> {
    await this.#look();
    const { rate } = this.#quota;
    if (rate === undefined) return this.#busyUntilMs.clear();
    const key = device.toHex();
    const now = this.#options.clock.elapsed();
    const startMs = Math.max(now, this.#busyUntilMs.get(key) ?? 0);
    this.#busyUntilMs.set(key, startMs + bytes / rate * 1000);
    // What was not used in the last second may be used now.
    const waitMs = startMs - now - UPKEEP.burstMs;
    if (waitMs > 0) await (this.#options.sleep ?? sleep)(waitMs);
  }

  /** Before a commit. @throws {RequestError} `NO_SPACE` */
  async checkSnapshots(state: JournalState): Promise<void> {
    this.#options.reserve?.check("commit");
    await this.#look();
    const { snapshots: max } = this.#quota;
    if (max !== undefined && state.facts.snapshots.size >= max) {
      throw refusal("commit", `quota of ${max} snapshots, held ones included,`);
    }
  }

  /** Before a device is added. @throws {RequestError} `NO_SPACE` */
  async checkDevices(state: JournalState): Promise<void> {
    await this.#look();
    const { devices: max } = this.#quota;
    if (max === undefined) return;
    const count = [...state.facts.devices.values()].filter(({ revoked }) => !revoked).length;
    if (count >= max) throw refusal("add device", `quota of ${max} devices`);
  }

  async #look(): Promise<void> {
    const { vault, db, upkeep, clock } = this.#options;
    const now = clock.elapsed();
    if (now - this.#lookedMs < UPKEEP.quotaMs) return;
    this.#lookedMs = now;
    this.#quota = await readQuota(db, vault.id.toHex());
    // It takes a row for each pack.
    if (this.#quota.bytes !== undefined) this.#usedBytes = await upkeep.sumPackBytes(vault.number);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function refusal(verb: string, what: string): RequestError {
  return new RequestError(
    ErrorCode.NO_SPACE,
    `Cannot ${verb}: the vault's ${what} is used up; the server's operator can raise it`,
  );
}
