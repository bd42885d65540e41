/**
 * Room that is kept for a full disk (docs/store.md, "Reserve"): a file that is given up as soon as something that must go
 * on finds no room: the database, the journal, collection. From then on nothing new is taken, until there is room for the
 * file again and for a pack beside it. No system call tells how much is free without a further permission, so the file is
 * both the room and the way to find out.
 */
import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { Database } from "../db.ts";
import { isNoSpace } from "../durable.ts";
import { formatByteSize } from "../flags.ts";
import { RESERVE, STORE } from "../limits.ts";
import type { Log } from "../log.ts";
import { ErrorCode } from "../protocol_v4.ts";
import type { Clock } from "../time.ts";
import { RequestError } from "./request_error.ts";

const FILE_MODE = 0o600;

export interface ReserveOptions {
  dataPath: string;
  /** Size that it shall have; 0 for none. Without it the one that is there may be given up, and is not made anew. */
  bytes?: number;
  log: Log;
  clock: Clock;
}

export class Reserve {
  readonly #options: ReserveOptions;
  readonly #path: string;
  readonly #bytes: number;
  #isMade: boolean;
  #isFull = false;
  #triedMs: number;
  /** Counts how often it was given up: who is just making it leaves off. */
  #spent = 0;

  /** Takes what is there. {@link tick} makes what is missing. */
  constructor(options: ReserveOptions) {
    this.#options = options;
    this.#path = join(options.dataPath, "reserve");
    const allocated = allocatedBytes(this.#path);
    this.#bytes = options.bytes ?? allocated;
    this.#isMade = allocated >= this.#bytes;
    if (allocated > this.#bytes) Deno.truncateSync(this.#path, this.#bytes);
    this.#triedMs = options.clock.elapsed(); // a server that just starts has other things to do
  }

  /** Whether there is no room for anything new. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Before something new is taken. @throws {RequestError} `NO_SPACE` */
  check(verb: string): void {
    if (!this.#isFull) return;
    throw new RequestError(
      ErrorCode.NO_SPACE,
      `Cannot ${verb}: the server's disk is full up to its reserve; nothing is lost, and what is ` +
        "forgotten makes room",
    );
  }

  /** Does work that must go on, with the reserve if there is no other room. It must be fit to be done twice. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    const spent = this.#spent;
    try {
      return await work();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      const wasSpent = this.#spent > spent; // by another, meanwhile: after this failed, it may be
      if (!this.spend() && !wasSpent) throw error;
      return await work();
    }
  }

  /** Gives the reserve up if this is what a full disk says. Returns whether there is more room now. */
  notice(error: unknown): boolean {
    return isNoSpace(error) && this.spend();
  }

  /** At once: whoever calls may go on in the same turn. Returns whether there is more room now. */
  spend(): boolean {
    if (this.#bytes === 0) return false;
    this.#spent++;
    this.#triedMs = this.#options.clock.elapsed();
    const had = allocatedBytes(this.#path);
    if (had > 0) Deno.truncateSync(this.#path, 0);
    this.#isMade = false;
    this.#noteFull();
    return had > 0;
  }

  /** Makes it anew now and then, if there is room. To be called now and then. */
  async tick(): Promise<void> {
    const { clock, log, bytes } = this.#options;
    const now = clock.elapsed();
    if (this.#isMade || bytes === undefined || now - this.#triedMs < RESERVE.retryMs) return;
    this.#triedMs = now;
    if (!(await this.#make())) return this.#noteFull();
    this.#isMade = true;
    this.#isFull = false;
    log.info("reserve made", { bytes });
  }

  #noteFull(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    const reserve = formatByteSize(this.#bytes);
    this.#options.log.warn("disk full: nothing new is taken", { reserve });
  }

  /** Piece after piece. A full disk is met and given room again within one turn: the database never sees it. */
  async #make(): Promise<boolean> {
    const spent = this.#spent;
    const piece = new Uint8Array(RESERVE.pieceBytes);
    const options = { write: true, create: true, truncate: true, mode: FILE_MODE };
    using file = Deno.openSync(this.#path, options);
    try {
      const wanted = this.#bytes + STORE.packBytes;
      for (let written = 0; written < wanted;) {
        randomFillSync(piece); // a file system may not store zeros
        written += file.writeSync(piece.subarray(0, Math.min(piece.length, wanted - written)));
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (this.#spent !== spent) break;
      }
      if (this.#spent === spent) await file.sync();
    } catch (error) {
      file.truncateSync(0);
      if (!isNoSpace(error)) throw error;
      return false;
    }
    file.truncateSync(this.#spent === spent ? this.#bytes : 0);
    return this.#spent === spent;
  }
}

/** Opens a database that takes the reserve when there is no other room, for the opening too. */
export function openDatabase(path: string, reserve: Reserve): Database {
  let db: Database;
  try {
    db = Database.open(path);
  } catch (error) {
    if (!reserve.notice(error)) throw error;
    db = Database.open(path);
  }
  db.sql.onFull = () => reserve.spend();
  return db;
}

/** Room that a file takes; of one with holes not all that it says. */
function allocatedBytes(path: string): number {
  try {
    const { size, blocks } = Deno.statSync(path);
    return blocks === null ? size : Math.min(size, blocks * 512);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
