/** `server serve`: the parts, and the way from start to stop. */
import { Database } from "../db.ts";
import { ExitCode } from "../errors.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import { SERVER_DEFAULTS } from "../limits.ts";
import { Log } from "../log.ts";
import type { Command } from "../program.ts";
import { settingsFolders } from "../program_folder.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { startClassicService } from "./classic_service.ts";
import { DataFolder } from "./data_folder.ts";
import type { Service } from "./listener.ts";
import { readPortInfo } from "./port_info.ts";
import { parseServeOptions, SERVE_HELP, type ServeOptions } from "./serve_options.ts";
import { startVaultService } from "./vault_service.ts";

const LOG_FLUSH_MS = 1000;

export const SERVE_COMMAND: Command = {
  summary: "run the server (the default)",
  help: SERVE_HELP,
  run: (args) => serve(parseServeOptions(args)),
};

async function serve(options: ServeOptions): Promise<number> {
  const log = new Log({ format: options.logFormat, sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  try {
    using folder = DataFolder.open(options.dataPath);
    const db = Database.open(folder.databasePath);
    try {
      await serveUntilStopped(options, { dataPath: folder.path, db, log });
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
  parts: { dataPath: string; db: Database; log: Log },
): Promise<void> {
  const { log, dataPath } = parts;
  const services: Service[] = [];
  try {
    const addresses: { classic?: string; vault?: string } = {};
    const classic = classicAddress(options, log);
    const all = { ...parts, clock: SYSTEM_CLOCK };
    if (classic !== "off") {
      const service = await startClassicService({ ...options, address: classic }, all);
      services.push(service);
      addresses.classic = formatHostPort(service.address);
    }
    if (options.listen !== "off") {
      const service = await startVaultService({ ...options, address: options.listen }, all);
      services.push(service);
      addresses.vault = formatHostPort(service.address);
    }
    log.info("listening", { ...addresses, data: dataPath });
    const signal = await stopSignal();
    log.info("stopping", { signal });
  } finally {
    await Promise.all(services.map((service) => service.stop()));
  }
}

function classicAddress({ classic }: ServeOptions, log: Log): HostPort | "off" {
  if (classic !== "port.info") return classic;
  const port = readPortInfo(settingsFolders(), (reason) => {
    log.warn("default port used", { reason, port: SERVER_DEFAULTS.classicPort });
  });
  return { hostname: "0.0.0.0", port };
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
