/** The part of the server that speaks protocol version 4. */
import type { Database } from "../db.ts";
import { RecordDatabase } from "../db_records.ts";
import { UpkeepDatabase } from "../db_upkeep.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import { SERVER_DEFAULTS, STORE } from "../limits.ts";
import type { Log } from "../log.ts";
import { ALPN } from "../protocol_v4.ts";
import type { Clock } from "../time.ts";
import type { AccessLimits } from "./access.ts";
import { Activity } from "./activity.ts";
import { BackupSessions } from "./backup_sessions.ts";
import { Budget } from "./budget.ts";
import { openServerKey } from "./certificate.ts";
import { ClockGuard } from "./clock_guard.ts";
import { Listener, type Service } from "./listener.ts";
import { Members } from "./members.ts";
import type { Metrics } from "./metrics.ts";
import type { Reserve } from "./reserve.ts";
import { type VaultLimits, VaultSession } from "./session_v4.ts";
import { Upkeep } from "./upkeep.ts";
import { VaultStore } from "./vault_store.ts";

/** Packs are looked after this often: what is quiet waits at most so much longer for its answer. */
const SWEEP_MS = 100;
/** The setting in which `server invite` finds where the server listens. */
export const LISTEN_SETTING = "listen";

export interface VaultServiceOptions {
  address: HostPort;
  access: AccessLimits;
  session: Omit<VaultLimits, "loginMs">;
  stopMs: number;
  /** Size of parity for packs, in hundredths of theirs; none with 0 or without it. */
  parityPercent?: number;
}

export async function startVaultService(
  options: VaultServiceOptions,
  { dataPath, db, log, clock, reserve, metrics }: {
    dataPath: string;
    db: Database;
    log: Log;
    clock: Clock;
    reserve?: Reserve;
    metrics?: Metrics;
  },
): Promise<Service> {
  const key = await openServerKey(dataPath);
  const { parityPercent } = options;
  const shared = {
    ...(reserve === undefined ? {} : { reserve }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(parityPercent ? { parityPercent } : {}),
  };
  const store = await VaultStore.open({ dataPath, db, log, clock, ...shared });
  const sessions = await BackupSessions.load(store.db, clock);
  const counting = metrics === undefined ? {} : { metrics };
  const activity = new Activity(clock);
  const context = {
    ...counting,
    activity,
    store,
    records: new RecordDatabase(db.sql),
    sessions,
    members: new Members(),
    pin: key.pin,
    budget: new Budget(STORE.bufferBytesMax),
    limits: { ...options.session, loginMs: SERVER_DEFAULTS.loginMs },
    log,
    clock,
    isStopping: () => listener.isStopping(),
  };
  const listener: Listener = new Listener({
    ...options.address,
    limits: options.access,
    log,
    clock,
    ...(metrics === undefined ? {} : { metrics: { metrics, protocol: "vault" } }),
    tls: { certificatePem: key.pem, privateKeyPem: key.privateKeyPem, protocol: ALPN },
    openSession: (channel, peer) => new VaultSession(channel, peer, context),
  });
  await store.db.setSetting(LISTEN_SETTING, formatHostPort(listener.address));
  const guard = await ClockGuard.start({ db: store.db, clock, log });
  const upkeep = await Upkeep.start({
    ...{ store, sessions, log, clock, activity, ...counting },
    upkeep: new UpkeepDatabase(db.sql),
  });
  const sweeper = startSweeper(async () => {
    await store.sweep();
    await sessions.sweep();
    await guard.tick();
    await upkeep.tick();
  }, log);
  return {
    address: listener.address,
    stop: async () => {
      await listener.stop(options.stopMs);
      await sweeper.stop();
      await upkeep.stop();
      await store.close();
    },
  };
}

/** Runs work again and again, never twice at a time. */
function startSweeper(work: () => Promise<void>, log: Log): { stop: () => Promise<void> } {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work().catch((error) => log.error("upkeep failed", error))
      .finally(() => running = undefined);
  }, SWEEP_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
