/** `server serve`: the flags, the parts, and the way from start to stop. */
import { Database } from "../db.ts";
import { ExitCode, UsageError } from "../errors.ts";
import {
  formatHostPort,
  type HostPort,
  parseByteSize,
  parseChoice,
  parseCount,
  parseDuration,
  parseFlags,
  parseHostPort,
  readFlag,
} from "../flags.ts";
import { SERVER_DEFAULTS } from "../limits.ts";
import { Log, type LogFormat } from "../log.ts";
import type { Command } from "../program.ts";
import { settingsFolders } from "../program_folder.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { type AccessLimits, RegistrationCount } from "./access.ts";
import { DataFolder } from "./data_folder.ts";
import { FileStore } from "./file_store.ts";
import { Listener } from "./listener.ts";
import { readPortInfo } from "./port_info.ts";
import { type ClassicLimits, ClassicSession } from "./session_v3.ts";
import { Space } from "./space.ts";

const SWEEP_MS = 1000;
const LOG_FLUSH_MS = 1000;

const HELP = `server serve: keeps backups for many clients

Usage: server [serve] [flags]

  --data DIR                    data folder (./holdfast-data)
  --classic HOST:PORT|off       where clients of the classic protocol connect
                                (0.0.0.0 and the port in port.info, or ${SERVER_DEFAULTS.classicPort})
  --log text|json               form of the log on standard error (text)

Bounds. Past one, a request is answered with an error or a connection is closed, and the log says so.

  --max-connections N           open connections (${SERVER_DEFAULTS.connectionsMax})
  --max-connections-per-address N                (${SERVER_DEFAULTS.connectionsPerAddressMax})
  --idle-time TIME              between two messages (5m)
  --message-time TIME           for a message; a file gets a second more for every 16 KiB (60s)
  --stall-time TIME             without a byte within a message (30s)
  --confirm-time TIME           for the confirmation of a file whose connection ended (10s)
  --stop-time TIME              for messages under way when the server is stopped (10s)
  --max-client-bytes SIZE       of all files of one client (64GiB)
  --max-total-bytes SIZE        of all files (1TiB)
  --max-clients N               registered clients (${SERVER_DEFAULTS.clientsMax})
  --registration on|off         whether new clients may register (on)
  --max-registrations N         from one address in a minute (${SERVER_DEFAULTS.registrationsPerMinuteMax})

TIME looks like 500ms, 30s, 5m; SIZE like 4096, 64KiB, 10GiB. SIGTERM and SIGINT stop the server:
it accepts no more, lets messages under way finish, and exits with 0.`;

const FLAGS = {
  data: { type: "string" },
  classic: { type: "string" },
  log: { type: "string" },
  "max-connections": { type: "string" },
  "max-connections-per-address": { type: "string" },
  "idle-time": { type: "string" },
  "message-time": { type: "string" },
  "stall-time": { type: "string" },
  "confirm-time": { type: "string" },
  "stop-time": { type: "string" },
  "max-client-bytes": { type: "string" },
  "max-total-bytes": { type: "string" },
  "max-clients": { type: "string" },
  registration: { type: "string" },
  "max-registrations": { type: "string" },
} as const;

interface ServeOptions {
  dataPath: string;
  classic: HostPort | "port.info" | "off";
  logFormat: LogFormat;
  access: AccessLimits;
  session: ClassicLimits;
  confirmMs: number;
  stopMs: number;
}

export const SERVE_COMMAND: Command = {
  summary: "run the server (the default)",
  help: HELP,
  run: (args) => serve(parseOptions(args)),
};

async function serve(options: ServeOptions): Promise<number> {
  const log = new Log({ format: options.logFormat, sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  try {
    using folder = DataFolder.open(options.dataPath);
    const db = Database.open(folder.databasePath);
    try {
      await serveClassic(options, { dataPath: folder.path, db, log });
    } finally {
      db.close();
    }
    log.info("stopped");
    return ExitCode.DONE;
  } finally {
    await log.flush(LOG_FLUSH_MS);
  }
}

async function serveClassic(
  options: ServeOptions,
  { dataPath, db, log }: { dataPath: string; db: Database; log: Log },
): Promise<void> {
  const clock = SYSTEM_CLOCK;
  const space = await Space.open(db, options.access);
  const { confirmMs } = options;
  const files = await FileStore.open({ dataPath, db, space, log, clock, confirmMs });
  const context = {
    db,
    files,
    registrations: new RegistrationCount(options.access, clock.elapsed),
    limits: options.session,
    log,
    clock,
    isStopping: () => listener.isStopping(),
  };
  const listener: Listener = new Listener({
    ...classicAddress(options, log),
    limits: options.access,
    log,
    clock,
    openSession: (channel, peer) => new ClassicSession(channel, peer, context),
  });
  const sweeper = setInterval(() => files.sweep(), SWEEP_MS);
  log.info("listening", { classic: formatHostPort(listener.address), data: dataPath });
  const signal = await stopSignal();
  log.info("stopping", { signal });
  await listener.stop(options.stopMs);
  clearInterval(sweeper);
  await files.close();
}

function classicAddress({ classic }: ServeOptions, log: Log): HostPort {
  if (classic === "off") throw new UsageError("Cannot serve: nothing to listen on");
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

function parseOptions(args: string[]): ServeOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) {
    throw new UsageError(`Unexpected argument "${positionals[0]}"`, {
      hint: "server serve --help shows the flags",
    });
  }
  const read = <T>(flag: keyof typeof FLAGS, parse: (text: string) => T, otherwise: T): T =>
    readFlag(values, { flag, parse, otherwise });
  return {
    dataPath: read("data", String, "holdfast-data"),
    classic: read("classic", parseListenAddress, "port.info"),
    logFormat: read("log", (text) => parseChoice(text, ["text", "json"]), "text"),
    access: {
      connectionsMax: read("max-connections", parseCount, SERVER_DEFAULTS.connectionsMax),
      connectionsPerAddressMax: read(
        "max-connections-per-address",
        parseCount,
        SERVER_DEFAULTS.connectionsPerAddressMax,
      ),
      registration: read("registration", (text) => parseChoice(text, ["on", "off"]), "on") === "on",
      registrationsPerMinuteMax: read(
        "max-registrations",
        parseCount,
        SERVER_DEFAULTS.registrationsPerMinuteMax,
      ),
      clientsMax: read("max-clients", parseCount, SERVER_DEFAULTS.clientsMax),
      clientBytesMax: read("max-client-bytes", parseByteSize, SERVER_DEFAULTS.clientBytesMax),
      totalBytesMax: read("max-total-bytes", parseByteSize, SERVER_DEFAULTS.totalBytesMax),
    },
    session: {
      idleMs: read("idle-time", parseDuration, SERVER_DEFAULTS.idleMs),
      messageMs: read("message-time", parseDuration, SERVER_DEFAULTS.messageMs),
      stallMs: read("stall-time", parseDuration, SERVER_DEFAULTS.stallMs),
    },
    confirmMs: read("confirm-time", parseDuration, SERVER_DEFAULTS.confirmMs),
    stopMs: read("stop-time", parseDuration, SERVER_DEFAULTS.stopMs),
  };
}

function parseListenAddress(text: string): ServeOptions["classic"] {
  return text === "off" ? "off" : parseHostPort(text, { zero: true });
}
