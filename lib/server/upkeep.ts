/**
 * What the server does by itself (docs/store.md, "Collection"): collects each vault now and then, and does what commands
 * ask for. One thing at a time; what is under way is left off when the server stops.
 */
import { UpkeepDatabase, type UpkeepRequest } from "../db_upkeep.ts";
import { describeError, HoldfastError } from "../errors.ts";
import type { JournalState } from "../journal_state.ts";
import { UPKEEP } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Activity } from "./activity.ts";
import type { BackupSessions } from "./backup_sessions.ts";
import { ClockGuard } from "./clock_guard.ts";
import { type CollectionResult, collectVault } from "./collection.ts";
import type { Metrics } from "./metrics.ts";
import { dropGivenUp, type ExpiryResult } from "./expiry.ts";
import { noneScrubbed, scrubPack, type ScrubResult, scrubVault } from "./scrub.ts";
import { listSnapshots, type VaultSnapshots } from "./snapshot_list.ts";
import { type Shares, StoppedError, Throttle } from "./throttle.ts";
import type { Vault, VaultStore } from "./vault_store.ts";

/** The setting that says whether the running server does what commands ask: `on` or `off`. */
export const UPKEEP_SETTING = "upkeep";
/** The setting in which the operator's own hold is, in milliseconds. */
export const HOLD_SETTING = "hold";

export interface UpkeepOptions {
  store: VaultStore;
  sessions: BackupSessions;
  upkeep: UpkeepDatabase;
  log: Log;
  clock: Clock;
  metrics?: Metrics;
  /** Of the server that this is part of. */
  activity?: Activity;
}

/** What was done for one vault. */
export type VaultCollected =
  & { vault: string }
  & (
    | ExpiryResult & CollectionResult
    | { error: string }
  );

/** What a scrub of one vault has found. */
export type VaultScrubbed =
  & { vault: string }
  & (
    | ScrubResult & { damagedInAll: number }
    | { error: string }
  );

/** What was done about the parity of one vault. */
export type VaultParity =
  & { vault: string }
  & (
    | {
      /** Packs that got it, or lost it, now. */
      made: number;
      removed: number;
      /** Packs that have none. */
      without: number;
    }
    | { error: string }
  );

/** What a vault's journal counts. */
export interface JournalCounts {
  /** In force. */
  snapshots: number;
  /** Forgotten, and to be brought back until their hold is over. */
  held: number;
  /** Not revoked. */
  devices: number;
}

export type VaultCounted = { vault: string } & (JournalCounts | { error: string });

/** What a command asks for. */
export interface Wanted {
  /** Id of a vault, hexadecimal; all without it. */
  vault?: string;
  /** Size of parity that is to be made, in hundredths of the packs'; 0 to remove it. */
  percent?: number;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #isAlone: boolean;
  readonly #startedMs: number;
  #lookedMs = -Infinity;
  #running: Promise<void> | undefined;
  /** Whether the last thing that was due was parity. */
  #wasParity = false;
  #isStopping = false;

  private constructor(options: UpkeepOptions, isAlone: boolean) {
    this.#options = options;
    this.#isAlone = isAlone;
    this.#startedMs = options.clock.elapsed();
  }

  /** For a server that begins: what was asked of one before it is void. */
  static async start(options: UpkeepOptions): Promise<Upkeep> {
    await options.upkeep.removeRequests();
    return new Upkeep(options, false);
  }

  /** For a command that has the store to itself: there is nobody to give way to. */
  static alone(options: UpkeepOptions): Upkeep {
    return new Upkeep(options, true);
  }

  /** Looks for something to do, unless something is under way. To be called several times a second. */
  async tick(): Promise<void> {
    const now = this.#options.clock.elapsed();
    if (this.#running !== undefined || now - this.#lookedMs < UPKEEP.requestMs) return;
    this.#lookedMs = now;
    const request = await this.#options.upkeep.findRequest();
    const work = request === undefined ? await this.#findDue() : () => this.#serve(request);
    if (work === undefined || this.#isStopping) return;
    this.#running = work().catch((error) => this.#report(error)).finally(() => {
      this.#running = undefined;
    });
  }

  /** Leaves off what is under way. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  /** Collects vaults, each as often as it takes as long as nobody else uses it. */
  async collect({ vault }: Wanted): Promise<VaultCollected[]> {
    const results: VaultCollected[] = [];
    for (const id of await this.#listVaults(vault)) {
      results.push(await this.#collectOne(id, UPKEEP.askedShares));
    }
    return results;
  }

  /** Reads all packs of vaults and compares them. */
  async scrub({ vault: wanted }: Wanted): Promise<VaultScrubbed[]> {
    const { clock } = this.#options;
    const beforeMs = clock.wall();
    const results: VaultScrubbed[] = [];
    for (const id of await this.#listVaults(wanted)) {
      const scrubbed = await this.#withVault(id, "scrub", async (vault) => {
        const options = { ...this.#scrubOptions(UPKEEP.askedShares), beforeMs };
        const result = await scrubVault(vault, options);
        const damagedInAll = await this.#options.upkeep.countDamaged(vault.number);
        this.#options.log.info("vault scrubbed", { vault: id.toHex(), ...result, damagedInAll });
        return { ...result, damagedInAll };
      });
      results.push({ vault: id.toHex(), ...scrubbed });
    }
    return results;
  }

  /** Gives packs parity that have none; or removes all of it. */
  async makeParity({ vault: wanted, percent = 0 }: Wanted): Promise<VaultParity[]> {
    const { store } = this.#options;
    const { parity } = store;
    if (percent === 0 && parity.percent !== undefined) {
      throw new HoldfastError("Cannot remove parity: the running server makes it", {
        hint: "start it without --parity first",
      });
    }
    const throttle = this.#throttle(UPKEEP.askedShares);
    const pause = () => throttle.pause();
    const results: VaultParity[] = [];
    for (const id of await this.#listVaults(wanted)) {
      const made = await this.#withVault(id, "parity", async (vault) => {
        const result = percent === 0
          ? { made: 0, removed: await parity.removeAll(vault, pause) }
          : { made: await parity.makeAll(vault, { percent, pause }), removed: 0 };
        return { ...result, without: await parity.rows.countBareOf(vault.number) };
      });
      results.push({ vault: id.toHex(), ...made });
    }
    return results;
  }

  /** What vaults have, as their journals say. */
  async listSnapshots({ vault: wanted }: Wanted): Promise<VaultSnapshots[]> {
    const results: VaultSnapshots[] = [];
    for (const id of await this.#listVaults(wanted)) {
      const listed = await this.#withVault(
        id,
        "listing",
        (vault) => Promise.resolve({ snapshots: listSnapshots(vault.journal.state) }),
      );
      results.push({ vault: id.toHex(), ...listed });
    }
    return results;
  }

  /** What the journals of vaults count. */
  async count({ vault: wanted }: Wanted): Promise<VaultCounted[]> {
    const results: VaultCounted[] = [];
    for (const id of await this.#listVaults(wanted)) {
      const counted = await this.#withVault(
        id,
        "counting",
        (vault) => Promise.resolve(countJournal(vault.journal.state)),
      );
      results.push({ vault: id.toHex(), ...counted });
    }
    return results;
  }

  async #serve({ number, kind, detail }: UpkeepRequest): Promise<void> {
    const { upkeep } = this.#options;
    try {
      const answer = await this.#answer(kind, JSON.parse(detail));
      await upkeep.answerRequest(number, JSON.stringify(answer));
    } catch (error) {
      if (!(error instanceof StoppedError)) this.#report(error);
      await upkeep.answerRequest(number, JSON.stringify({ error: describeError(error) }));
    }
  }

  async #answer(kind: string, wanted: Wanted): Promise<unknown> {
    if (kind === "gc") return await this.collect(wanted);
    if (kind === "snapshots") return await this.listSnapshots(wanted);
    if (kind === "scrub") return await this.scrub(wanted);
    if (kind === "parity") return await this.makeParity(wanted);
    if (kind === "usage") return await this.count(wanted);
    throw new HoldfastError(`Cannot serve request: this server does not know "${kind}"`);
  }

  /** What is due: the collection of a vault, parity for packs that have none, or the scrub of a pack. */
  async #findDue(): Promise<(() => Promise<void>) | undefined> {
    const { upkeep, store, clock } = this.#options;
    if (clock.elapsed() - this.#startedMs < UPKEEP.delayMs) return await this.#findDueParity();
    const due = await upkeep.findDueVault(clock.wall(), UPKEEP.collectMs);
    if (due === undefined) {
      // In turn: a large store that gets its parity for the first time is scrubbed all the same.
      const [first, second] = this.#wasParity
        ? [await this.#findDueScrub(), () => this.#findDueParity()]
        : [await this.#findDueParity(), () => this.#findDueScrub()];
      return first ?? await second();
    }
    return async () => {
      const row = await store.db.findVault(due);
      if (row === undefined) return;
      await upkeep.setCollected(row.number, clock.wall());
      await this.#collectOne(due, UPKEEP.shares);
    };
  }

  async #findDueParity(): Promise<(() => Promise<void>) | undefined> {
    const { parity } = this.#options.store;
    const { percent, hasRoom } = parity;
    if (percent === undefined || !hasRoom || await parity.rows.findBare() === undefined) return;
    return async () => {
      this.#wasParity = true;
      const throttle = this.#throttle(UPKEEP.shares);
      await parity.makeSome({ percent, pause: () => throttle.pause() });
    };
  }

  async #findDueScrub(): Promise<(() => Promise<void>) | undefined> {
    const { upkeep, clock } = this.#options;
    const pack = await upkeep.findDuePack(clock.wall(), UPKEEP.scrubMs);
    if (pack === undefined) return undefined;
    return async () => {
      this.#wasParity = false;
      const result = noneScrubbed();
      const timeMs = clock.wall();
      const options = { ...this.#scrubOptions(UPKEEP.shares), pack, timeMs, result };
      await this.#withVault(pack.vaultId, "scrub", (vault) => scrubPack(vault, options));
      if (result.packs === 0) await upkeep.setScrubbed(pack.number, clock.wall()); // try others first
    };
  }

  #scrubOptions(shares: Shares) {
    const { upkeep, clock } = this.#options;
    return { upkeep, clock, throttle: this.#throttle(shares) };
  }

  #throttle(shares: Shares): Throttle {
    const { clock, activity } = this.#options;
    const isBusy = () => activity?.isBusy ?? false;
    const given = this.#isAlone ? { quiet: 1, busy: 1 } : shares;
    return new Throttle({ clock, shares: given, isBusy, isStopping: () => this.#isStopping });
  }

  async #collectOne(id: Uint8Array, shares: Shares): Promise<VaultCollected> {
    const vault = id.toHex();
    const collected = await this.#withVault(id, "collection", async (vault) => {
      const { store } = this.#options;
      const result = await store.withReserve(() => this.#collectVault(vault, shares));
      this.#options.log.info("vault collected", { vault: id.toHex(), ...result });
      return result;
    });
    return { vault, ...collected };
  }

  /** Does work on a vault. What is wrong with one is no reason to leave the others alone. */
  async #withVault<T>(
    id: Uint8Array,
    name: string,
    work: (vault: Vault) => Promise<T>,
  ): Promise<T | { error: string }> {
    const { store, log, clock, metrics } = this.#options;
    const startedMs = clock.elapsed();
    try {
      const vault = await store.enter(id);
      if (vault === undefined) return { error: "Cannot use vault: it is not there" };
      try {
        const result = await work(vault);
        metrics?.set("holdfast_upkeep_last_timestamp_seconds", clock.wall() / 1000, name);
        const tookMs = clock.elapsed() - startedMs;
        metrics?.set("holdfast_upkeep_last_duration_seconds", tookMs / 1000, name);
        return result;
      } finally {
        store.leave(vault);
      }
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      metrics?.add("holdfast_upkeep_failures_total", name);
      log.error(`${name} failed`, error, { vault: id.toHex() });
      return { error: describeError(error) };
    }
  }

  async #collectVault(vault: Vault, shares: Shares): Promise<ExpiryResult & CollectionResult> {
    const { store, sessions, upkeep, clock } = this.#options;
    const expiry = await this.#expire(vault);
    const throttle = this.#throttle(shares);
    const { blobs, records } = store;
    const options = { blobs, records, upkeep, sessions, clock, throttle };
    const result = await collectVault(vault, options);
    await upkeep.setCollected(vault.number, clock.wall());
    return { ...expiry, ...result };
  }

  async #expire(vault: Vault): Promise<ExpiryResult> {
    const { store, clock } = this.#options;
    const step = await ClockGuard.findStep(store.db);
    if (step !== undefined) return { dropped: 0, stopped: `the clock was set ${step}` };
    const extraHoldMs = Number(await store.db.findSetting(HOLD_SETTING) ?? 0);
    return await dropGivenUp(vault.journal, { clock, extraHoldMs });
  }

  async #listVaults(vault: string | undefined): Promise<Uint8Array[]> {
    if (vault !== undefined) return [Uint8Array.fromHex(vault)];
    const ids: Uint8Array[] = [];
    for await (const id of this.#options.store.db.listVaults()) ids.push(id);
    return ids;
  }

  #report(error: unknown): void {
    if (!(error instanceof StoppedError)) this.#options.log.error("upkeep failed", error);
  }
}

function countJournal({ facts }: JournalState): JournalCounts {
  let held = 0;
  for (const { holdUntilMs } of facts.snapshots) if (holdUntilMs !== 0) held++;
  const devices = [...facts.devices.values()].filter(({ revoked }) => !revoked).length;
  return { snapshots: facts.snapshots.size - held, held, devices };
}
