/** `server serve`: the parts, and the way from start to stop. */
import { Database } from "../db.ts";
import { VaultDatabase } from "../db_vault.ts";
import { ExitCode, HoldfastError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import { SERVER_DEFAULTS } from "../limits.ts";
import { Log } from "../log.ts";
import type { Command } from "../program.ts";
import { settingsFolders } from "../program_folder.ts";
import { type Clock, SYSTEM_CLOCK } from "../time.ts";
import { startClassicService } from "./classic_service.ts";
import { DataFolder } from "./data_folder.ts";
import type { Service } from "./listener.ts";
import { Metrics } from "./metrics.ts";
import { startOps } from "./ops.ts";
import { readPortInfo } from "./port_info.ts";
import { parseServeOptions, SERVE_HELP, type ServeOptions } from "./serve_options.ts";
import { openDatabase, Reserve } from "./reserve.ts";
import { UPKEEP_SETTING } from "./upkeep.ts";
import { startVaultService } from "./vault_service.ts";

const LOG_FLUSH_MS = 1000;
const RESERVE_TICK_MS = 1000;

export const SERVE_COMMAND: Command = {
  summary: "run the server (the default)",
  help: SERVE_HELP,
  run: (args) => serve(parseServeOptions(args)),
};

async function serve(options: ServeOptions): Promise<number> {
  const log = new Log({ format: options.logFormat, sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  try {
    using folder = DataFolder.open(options.dataPath);
    const clock = SYSTEM_CLOCK;
    const reserve = new Reserve({ dataPath: folder.path, bytes: options.reserveBytes, log, clock });
    const db = openDatabase(folder.databasePath, reserve);
    try {
      using _ticking = tickReserve(reserve, log);
      await serveUntilStopped(options, { dataPath: folder.path, db, log, reserve });
    } finally {
      db.close();
    }
    log.info("stopped");
    return ExitCode.DONE;
  } finally {
    await log.flush(LOG_FLUSH_MS);
  }
}

async function serveUntilStopped(
  options: ServeOptions,
  parts: { dataPath: string; db: Database; log: Log; reserve: Reserve },
): Promise<void> {
  const { log, dataPath } = parts;
  const services: Service[] = [];
  try {
    const addresses: { classic?: string; vault?: string; ops?: string } = {};
    const classic = classicAddress(options, log);
    const metrics = new Metrics();
    const all = { ...parts, clock: SYSTEM_CLOCK, metrics };
    if (classic !== "off") {
      const service = await startClassicService({ ...options, address: classic }, all);
      services.push(service);
      addresses.classic = formatHostPort(service.address);
    }
    const vault = await startVault(options, all);
    if (vault) {
      services.push(vault);
      addresses.vault = formatHostPort(vault.address);
    }
    if (options.ops !== "off") {
      const ops = startOps({ ...all, address: options.ops });
      services.push(ops);
      addresses.ops = formatHostPort(ops.address);
    }
    const state = vault ? "on" : "off";
    await new VaultDatabase(parts.db.sql).setSetting(UPKEEP_SETTING, state);
    log.info("listening", { ...addresses, data: dataPath });
    const signal = await stopSignal();
    log.info("stopping", { signal });
  } finally {
    await Promise.all(services.map((service) => service.stop()));
  }
}

/**
 * Undefined if it is off, or if its default address is taken while the classic protocol has one of its own: a second
 * server on a machine is asked for one thing only, and does that.
 */
async function startVault(
  options: ServeOptions,
  parts: {
    dataPath: string;
    db: Database;
    log: Log;
    clock: Clock;
    reserve: Reserve;
    metrics: Metrics;
  },
): Promise<Service | undefined> {
  if (options.listen === "off") return undefined;
  const isDefault = options.listen === "default";
  const address = options.listen === "default"
    ? { hostname: "0.0.0.0", port: SERVER_DEFAULTS.vaultPort }
    : options.listen;
  try {
    return await startVaultService({ ...options, address }, parts);
  } catch (error) {
    const isTaken = error instanceof HoldfastError && error.cause instanceof Deno.errors.AddrInUse;
    if (!isTaken || !isDefault || options.classic === "off") throw error;
    parts.log.warn("vaults are not served", { reason: `${error.message}; --listen names another` });
    return undefined;
  }
}

function classicAddress({ classic }: ServeOptions, log: Log): HostPort | "off" {
  if (classic !== "port.info") return classic;
  const port = readPortInfo(settingsFolders(), (reason) => {
    log.warn("default port used", { reason, port: SERVER_DEFAULTS.classicPort });
  });
  return { hostname: "0.0.0.0", port };
}

function tickReserve(reserve: Reserve, log: Log): Disposable {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= reserve.tick().catch((error) => log.error("cannot make reserve", error))
      .finally(() => running = undefined);
  }, RESERVE_TICK_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Resolves with the first signal to stop. A second one ends the process as if nobody listened. */
function stopSignal(): Promise<string> {
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT", "SIGBREAK"]
    : ["SIGINT", "SIGTERM"];
  return new Promise((resolve) => {
    const handlers = signals.map((signal) => {
      const handler = () => {
        for (const [name, other] of handlers) Deno.removeSignalListener(name, other);
        resolve(signal);
      };
      Deno.addSignalListener(signal, handler);
      return [signal, handler] as const;
    });
  });
}
