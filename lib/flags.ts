/**
 * Command lines: flags by `parseArgs` of `node:util`, and the values that they take. Everything that does not parse is
 * a {@link UsageError} with a hint.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { describeError, UsageError } from "./errors.ts";

export interface HostPort {
  hostname: string;
  port: number;
}

export type FlagValues = Record<string, string | boolean | (string | boolean)[] | undefined>;

/** Splits arguments into flags and the rest. An unknown flag is an error. */
export function parseFlags(
  args: string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): { values: FlagValues; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    return { values: { ...values }, positionals };
  } catch (cause) {
    // Node's text goes on with advice for programmers after the first sentence.
    const text = describeError(cause).split(/\.\s/)[0].replace(/\.$/, "");
    throw new UsageError(text, { hint: "--help shows the flags" });
  }
}

/** `HOST:PORT`, `[IPV6]:PORT`; port 0 asks the system for a free one where `zero` allows it. */
export function parseHostPort(text: string, { zero = false } = {}): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (!match || port > 65535 || (port === 0 && !zero)) {
    throw new UsageError(`Cannot read address "${text}"`, {
      hint: "it looks like 192.0.2.7:1357, name.example:1357 or [2001:db8::7]:1357",
    });
  }
  return { hostname: match[1] ?? match[2], port };
}

/** The opposite of {@link parseHostPort}. */
export function formatHostPort({ hostname, port }: HostPort): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

const TIME_UNITS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time such as `500ms`, `30s`, `5m`, `24h`, `7d`, in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const ms = match ? Math.round(Number(match[1]) * TIME_UNITS[match[2]]) : NaN;
  if (!Number.isSafeInteger(ms) || ms < 1) {
    throw new UsageError(`Cannot read time "${text}"`, {
      hint: "it looks like 500ms, 30s, 5m, 24h or 7d",
    });
  }
  return ms;
}

const SIZE_UNITS = ["", "K", "M", "G", "T", "P"];

/** A size such as `4096`, `64KiB`, `10G`, in bytes; units are powers of 1024. */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)(?:i?B)?$/i.exec(text);
  const bytes = match
    ? Math.round(Number(match[1]) * 1024 ** SIZE_UNITS.indexOf(match[2].toUpperCase()))
    : NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`Cannot read size "${text}"`, {
      hint: "it looks like 4096, 64KiB or 10GiB",
    });
  }
  return bytes;
}

/** A size for people: `27 B`, `5.0 MiB`. */
export function formatByteSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${SIZE_UNITS[unit]}iB`;
}

/** A whole number from `min` to `max`. */
export function parseCount(text: string, { min = 1, max = Infinity } = {}): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const range = max === Infinity ? `from ${min} on` : `from ${min} to ${max}`;
    throw new UsageError(`Cannot read number "${text}"`, { hint: `a whole number ${range}` });
  }
  return value;
}

/** One of a few words. */
export function parseChoice<T extends string>(text: string, choices: readonly T[]): T {
  const choice = choices.find((choice) => choice === text);
  if (choice === undefined) {
    throw new UsageError(`"${text}" is not one of ${choices.join(", ")}`);
  }
  return choice;
}

/** The value of a flag. A bad one is an error that names the flag. */
export function readFlag<T>(
  values: FlagValues,
  { flag, parse, otherwise }: { flag: string; parse: (text: string) => T; otherwise: T },
): T {
  const text = values[flag];
  if (typeof text !== "string") return otherwise;
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--${flag}: ${error.message}`, error.hint ? { hint: error.hint } : {});
  }
}
