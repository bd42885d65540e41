/** `server serve`: its help and its flags. */
import { UsageError } from "../errors.ts";
import {
  formatByteSize,
  type HostPort,
  parseByteSize,
  parseChoice,
  parseCount,
  parseDuration,
  parseFlags,
  parseHostPort,
  readFlag,
} from "../flags.ts";
import { PARITY, SERVER_DEFAULTS } from "../limits.ts";
import type { LogFormat } from "../log.ts";
import type { AccessLimits } from "./access.ts";
import type { ClassicLimits } from "./session_v3.ts";

export const SERVE_HELP = `server serve: keeps backups for many clients

Usage: server [serve] [flags]

  --data DIR                    data folder (./holdfast-data)
  --classic HOST:PORT|off       where clients of the classic protocol connect
                                (0.0.0.0 and the port in port.info, or ${SERVER_DEFAULTS.classicPort})
  --listen HOST:PORT|off        where clients with a vault connect (0.0.0.0:${SERVER_DEFAULTS.vaultPort})
  --ops PORT|HOST:PORT          /healthz and /metrics over HTTP; of a port alone on 127.0.0.1 (off)
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
  --reserve SIZE|off            of the disk, for forgetting and collection when it is full (${
  formatByteSize(SERVER_DEFAULTS.reserveBytes).replace(".0 ", "")
})
  --parity SHARE|off            parity for packs, from which damage is repaired: 1% to 50% of their
                                size (off)
  --max-clients N               registered clients (${SERVER_DEFAULTS.clientsMax})
  --registration on|off         whether new clients may register (on)
  --max-registrations N         from one address in a minute (${SERVER_DEFAULTS.registrationsPerMinuteMax})

TIME looks like 500ms, 30s, 5m; SIZE like 4096, 64KiB, 10GiB. SIGTERM and SIGINT stop the server:
it accepts no more, lets messages under way finish, and exits with 0.`;

const FLAGS = {
  data: { type: "string" },
  classic: { type: "string" },
  listen: { type: "string" },
  ops: { type: "string" },
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
  reserve: { type: "string" },
  parity: { type: "string" },
  "max-clients": { type: "string" },
  registration: { type: "string" },
  "max-registrations": { type: "string" },
} as const;

export interface ServeOptions {
  dataPath: string;
  classic: HostPort | "port.info" | "off";
  listen: HostPort | "default" | "off";
  ops: HostPort | "off";
  logFormat: LogFormat;
  access: AccessLimits;
  session: ClassicLimits;
  /** 0: none. */
  reserveBytes: number;
  /** In hundredths; 0: none. */
  parityPercent: number;
  confirmMs: number;
  stopMs: number;
}

/** @throws {UsageError} */
export function parseServeOptions(args: string[]): ServeOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) {
    throw new UsageError(`Unexpected argument "${positionals[0]}"`, {
      hint: "server serve --help shows the flags",
    });
  }
  const read = <T>(flag: keyof typeof FLAGS, parse: (text: string) => T, otherwise: T): T =>
    readFlag(values, { flag, parse, otherwise });
  const options: ServeOptions = {
    dataPath: read("data", String, "holdfast-data"),
    classic: read<ServeOptions["classic"]>("classic", parseListenAddress, "port.info"),
    listen: read<ServeOptions["listen"]>("listen", parseListenAddress, "default"),
    ops: read<ServeOptions["ops"]>("ops", parseOpsAddress, "off"),
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
    reserveBytes: read(
      "reserve",
      (text) => text === "off" ? 0 : parseByteSize(text),
      SERVER_DEFAULTS.reserveBytes,
    ),
    parityPercent: read("parity", parseParity, 0),
    confirmMs: read("confirm-time", parseDuration, SERVER_DEFAULTS.confirmMs),
    stopMs: read("stop-time", parseDuration, SERVER_DEFAULTS.stopMs),
  };
  if (options.classic === "off" && options.listen === "off") {
    throw new UsageError("Cannot serve: nothing to listen on");
  }
  return options;
}

/** `5%`, or `off` for 0. */
export function parseParity(text: string): number {
  if (text === "off") return 0;
  const percent = /^\d{1,2}%$/.test(text) ? parseInt(text) : NaN;
  if (percent >= PARITY.percentMin && percent <= PARITY.percentMax) return percent;
  throw new UsageError(`Cannot read share ${JSON.stringify(text)}`, {
    hint: `it looks like 5%, from ${PARITY.percentMin}% to ${PARITY.percentMax}%, or off`,
  });
}

function parseOpsAddress(text: string): HostPort | "off" {
  return parseListenAddress(/^\d+$/.test(text) ? `127.0.0.1:${text}` : text);
}

function parseListenAddress(text: string): HostPort | "off" {
  return text === "off" ? "off" : parseHostPort(text, { zero: true });
}
