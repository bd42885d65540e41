/**
 * What a power cut may leave of a SQLite database with a write-ahead log: the two files are looked at again and again.
 * With `synchronous=FULL` a transaction is flushed before the call that commits it returns, so all that is in the files
 * is durable when this process looks; at the cut itself, a transaction is in the log whole, in part, or not at all.
 * The log's layout: https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log".
 */
import { Buffer } from "node:buffer";
import type { Random } from "./random.ts";

const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const SALT_OFFSET = 16;
const FRAME_SALT_OFFSET = 8;
const SECTOR_BYTES = 512;

/** Two files at one time. */
export interface DatabaseImage {
  main: Uint8Array;
  /** The log as it went on from there: images share it, or they would take too much memory. */
  log: { bytes: Uint8Array };
  /** What of the log was there. */
  logBytes: number;
  /** Ends of transactions in the log: the last one of the image before, and those that are new. */
  newEnds: number[];
}

export class DatabaseFiles {
  readonly #path: string;
  #main = new Uint8Array(0);
  #log: DatabaseImage["log"] = { bytes: new Uint8Array(0) };

  constructor(path: string) {
    this.#path = path;
  }

  /** The files, if they have changed since the last look. */
  look(): DatabaseImage | undefined {
    const main = readIfThere(this.#path);
    const file = readIfThere(this.#path + "-wal");
    const ends = transactionEnds(file);
    const bytes = file.subarray(0, ends.at(-1) ?? 0);
    const before = this.#log.bytes;
    const isSameMain = Buffer.compare(main, this.#main) === 0;
    if (isSameMain && Buffer.compare(bytes, before) === 0) return undefined;
    const hasGrown = isSameMain && before.length > 0 && bytes.length > before.length &&
      Buffer.compare(bytes.subarray(0, before.length), before) === 0;
    if (!isSameMain) this.#main = main;
    if (hasGrown) this.#log.bytes = bytes;
    else this.#log = { bytes };
    const newEnds = hasGrown ? ends.filter((end) => end >= before.length) : [];
    return { main: this.#main, log: this.#log, logBytes: bytes.length, newEnds };
  }
}

/** Writes the files as they are if the power is cut while one of the new transactions is being written. */
export function writeTorn(path: string, image: DatabaseImage, random: Random): void {
  const { main, log, logBytes, newEnds } = image;
  if (newEnds.length < 2) return writeWhole(path, image);
  const whole = newEnds[random.below(newEnds.length - 1)];
  const torn = log.bytes.slice(0, whole + random.below(logBytes - whole + 1));
  for (let at = whole; at < torn.length; at += SECTOR_BYTES) {
    if (random.below(3) === 0) torn.fill(0, at, at + SECTOR_BYTES);
  }
  writeFiles(path, main, torn);
}

/** Writes the files as they were. */
export function writeWhole(path: string, { main, log, logBytes }: DatabaseImage): void {
  writeFiles(path, main, log.bytes.subarray(0, logBytes));
}

function writeFiles(path: string, main: Uint8Array, log: Uint8Array): void {
  Deno.writeFileSync(path, main, { mode: 0o600 });
  if (log.length > 0) Deno.writeFileSync(path + "-wal", log, { mode: 0o600 });
}

/** Offsets behind the frames that end a transaction; frames of an earlier log have another salt. */
function transactionEnds(log: Uint8Array): number[] {
  const ends: number[] = [];
  if (log.length < LOG_HEADER_BYTES) return ends;
  const view = new DataView(log.buffer, log.byteOffset, log.length);
  const frameBytes = FRAME_HEADER_BYTES + view.getUint32(8);
  const salt = view.getBigUint64(SALT_OFFSET);
  for (let at = LOG_HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    if (view.getBigUint64(at + FRAME_SALT_OFFSET) !== salt) break;
    if (view.getUint32(at + 4) !== 0) ends.push(at + frameBytes);
  }
  return ends;
}

function readIfThere(path: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array(0);
    throw error;
  }
}
