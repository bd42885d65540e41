/**
 * The log: one line per event, for people (`text`) or machines (`json`). Lines go out in the background through a
 * bounded queue, so that a reader who is slow or gone costs lines, which are counted, and never the service.
 * Values are escaped: nobody can forge a line. Keys and file contents are never logged.
 */
import { within } from "./time.ts";
import { describeError } from "./errors.ts";
import { LOG_QUEUE_BYTES_MAX } from "./limits.ts";

export type LogFormat = "text" | "json";
export type LogLevel = "info" | "warn" | "error";
/** Values of an event. The names that every line has are not theirs. */
export type LogFields = Record<string, string | number | boolean | undefined> & {
  time?: never;
  level?: never;
  event?: never;
};

/** Where lines go. Standard error in the programs, memory in tests. */
export interface LogSink {
  write(bytes: Uint8Array): Promise<number>;
}

export interface LogOptions {
  format: LogFormat;
  sink: LogSink;
  /** Milliseconds since 1970. */
  now: () => number;
}

export class Log {
  readonly #options: LogOptions;
  #queue = "";
  #dropped = 0;
  #draining: Promise<void> | undefined;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  info(event: string, fields: LogFields = {}): void {
    this.#add("info", event, fields);
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#add("warn", event, fields);
  }

  /** `cause` is told with its own causes, without a stack. */
  error(event: string, cause: unknown, fields: LogFields = {}): void {
    this.#add("error", event, { ...fields, error: describeError(cause) });
  }

  /** Waits until all lines are out, or for `maxMs` milliseconds. */
  async flush(maxMs: number): Promise<void> {
    if (this.#draining) await within(this.#draining, maxMs, undefined);
  }

  #add(level: LogLevel, event: string, fields: LogFields): void {
    if (this.#queue.length > LOG_QUEUE_BYTES_MAX) {
      this.#dropped++;
      return;
    }
    this.#queue += this.#format(level, event, fields);
    this.#draining ??= this.#drain();
  }

  #format(level: LogLevel, event: string, fields: LogFields): string {
    const time = new Date(this.#options.now()).toISOString();
    if (this.#options.format === "json") {
      return JSON.stringify({ time, level, event, ...fields }) + "\n";
    }
    let line = `${time} ${level.padEnd(5)} ${event}`;
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) line += ` ${name}=${formatValue(value)}`;
    }
    return line + "\n";
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // lines of the same turn go out together
    while (this.#queue !== "") {
      const bytes = this.#takeQueue();
      try {
        for (let written = 0; written < bytes.length;) {
          written += await this.#options.sink.write(bytes.subarray(written));
        }
      } catch {
        // Nobody reads the log any more. The service goes on without it.
      }
    }
    this.#draining = undefined;
  }

  #takeQueue(): Uint8Array {
    let text = this.#queue;
    if (this.#dropped > 0) {
      text += this.#format("warn", "log lines dropped", { lines: this.#dropped });
    }
    this.#queue = "";
    this.#dropped = 0;
    return new TextEncoder().encode(text);
  }
}

/** Numbers and plain words as they are; everything else quoted and escaped. */
function formatValue(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  return /^[\w.:/@+-]+$/.test(value) ? value : escapeText(value);
}

/** Text in quotes, in which every character that is not printable is escaped. */
export function escapeText(text: string): string {
  return JSON.stringify(text).replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
