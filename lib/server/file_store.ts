/**
 * Files of protocol version 3 on disk (docs/architecture.md, "The classic file store"). A file is received into
 * `tmp/`; when its client confirms the checksum it is flushed, renamed into `files/<client id>/`, and gets its row.
 * Until then the file of that name, if there is one, stays as it was.
 */
import { join } from "node:path";
import type { Database, FileRow } from "../db.ts";
import { removeIfThere, syncDirectory } from "../durable.ts";
import { CLASSIC } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Clock, timestamp } from "../time.ts";
import { storedName } from "./file_names.ts";
import { reconcileFiles } from "./reconcile.ts";
import type { Space } from "./space.ts";
import { type Received, Upload } from "./upload.ts";

const FOLDER_MODE = 0o700;

/** Which file of whom, and over which connection it comes. */
export interface FileTarget {
  clientId: Uint8Array;
  /** Base name, as the client gave it. */
  fileName: string;
  /** Any object that stands for the connection. */
  owner: object;
}

export interface FileStoreOptions {
  dataPath: string;
  db: Database;
  space: Space;
  log: Log;
  clock: Clock;
  /** How long an unconfirmed file outlives its connection, besides the time for its checksum. */
  confirmMs: number;
}

interface Unconfirmed extends FileTarget, Received {
  /** Bytes reserved for it. */
  bytes: number;
  /** When it is dropped; of `clock.elapsed()`. */
  expiresAt: number;
}

export class FileStore {
  readonly #options: FileStoreOptions;
  readonly #temporaryPath: string;
  readonly #filesPath: string;
  readonly #unconfirmed: Unconfirmed[] = [];
  /** What was confirmed and not sent again since, oldest first. */
  readonly #confirmed = new Map<string, FileRow>();
  #storing: Promise<unknown> = Promise.resolve();

  private constructor(options: FileStoreOptions) {
    this.#options = options;
    this.#temporaryPath = join(options.dataPath, "tmp");
    this.#filesPath = join(options.dataPath, "files");
  }

  /** Opens the store: removes what was never confirmed, and makes rows and files agree. */
  static async open(options: FileStoreOptions): Promise<FileStore> {
    const store = new FileStore(options);
    await Deno.mkdir(store.#filesPath, { recursive: true, mode: FOLDER_MODE });
    await Deno.mkdir(store.#temporaryPath, { recursive: true, mode: FOLDER_MODE });
    await syncDirectory(options.dataPath);
    for await (const entry of Deno.readDir(store.#temporaryPath)) {
      await Deno.remove(join(store.#temporaryPath, entry.name), { recursive: true });
    }
    await reconcileFiles(options);
    return store;
  }

  /**
   * Receives a file: reserves its room, hands an {@link Upload} to `fill`, and keeps the result until it is
   * confirmed. If `fill` throws, nothing stays.
   *
   * @throws {RefusedError} if there is no room
   * @throws {ProtocolError} if the name cannot be stored
   */
  async receive(
    target: FileTarget & { bytes: number },
    fill: (upload: Upload) => Promise<void>,
  ): Promise<Received> {
    storedName(target.fileName); // refuses a bad name before anything is read
    this.#confirmed.delete(confirmedKey(target));
    await this.#options.space.reserve(target);
    let upload: Upload | undefined;
    try {
      upload = await Upload.create(join(this.#temporaryPath, crypto.randomUUID()));
      await fill(upload);
    } catch (error) {
      await upload?.abort();
      this.#options.space.release(target);
      throw error;
    }
    const received = upload.finish();
    this.#unconfirmed.push({ ...target, ...received, expiresAt: Infinity });
    await this.#dropSurplus(target);
    return received;
  }

  /**
   * Makes a received file the client's file, durably. The one that came over the same connection goes first. One
   * that is the client's file already is returned again: its answer was lost.
   *
   * @returns undefined if none of that name waits
   */
  async confirm(target: FileTarget): Promise<FileRow | undefined> {
    const file = this.#take(target);
    if (!file) return this.#confirmed.get(confirmedKey(target));
    // One at a time: of two files of one name, the row must be of the one that is renamed last.
    const stored = this.#storing.then(() => this.#store(file));
    this.#storing = stored.catch(() => {});
    try {
      return await stored;
    } catch (error) {
      await this.#drop(file);
      throw error;
    }
  }

  /** Drops a received file. Returns false if none of that name waits. */
  async discard(target: FileTarget): Promise<boolean> {
    const file = this.#take(target);
    if (file) await this.#drop(file);
    return file !== undefined;
  }

  /** Whether a file that came over this connection waits for its client's word. */
  isWaiting(owner: object): boolean {
    return this.#unconfirmed.some((file) => file.owner === owner);
  }

  /** The connection is gone. What it left waits a little for the client to come back on another. */
  orphan(owner: object): void {
    for (const file of this.#unconfirmed) {
      if (file.owner !== owner) continue;
      const checksumMs = file.size / CLASSIC.slowestChecksumBytesPerSecond * 1000;
      file.expiresAt = this.#options.clock.elapsed() + this.#options.confirmMs + checksumMs;
    }
  }

  /** Drops what has waited too long. To be called about every second. */
  async sweep(): Promise<void> {
    const now = this.#options.clock.elapsed();
    for (const file of this.#unconfirmed.filter((file) => file.expiresAt <= now)) {
      this.#options.log.warn("unconfirmed file dropped", { file: file.fileName });
      this.#remove(file);
      await this.#drop(file);
    }
  }

  /** Waits for confirmations that run, and drops what was not confirmed. */
  async close(): Promise<void> {
    await this.#storing;
    for (const file of this.#unconfirmed.splice(0)) await this.#drop(file);
  }

  /** Keeps one file of each name for a connection, and a bounded number for a client: the newest. */
  async #dropSurplus(target: FileTarget): Promise<void> {
    const ofClient = this.#unconfirmed.filter((file) => sameClient(file, target));
    const replaced = ofClient.filter((file) =>
      file.owner === target.owner && file.fileName === target.fileName
    ).slice(0, -1);
    const surplus = ofClient.slice(0, Math.max(0, ofClient.length - CLASSIC.unconfirmedFilesMax));
    for (const file of new Set([...replaced, ...surplus])) {
      this.#remove(file);
      await this.#drop(file);
    }
  }

  #take(target: FileTarget): Unconfirmed | undefined {
    const matching = this.#unconfirmed.filter((file) =>
      sameClient(file, target) && file.fileName === target.fileName
    );
    const file = matching.findLast((file) => file.owner === target.owner) ?? matching.at(-1);
    if (file) this.#remove(file);
    return file;
  }

  #remove(file: Unconfirmed): void {
    const index = this.#unconfirmed.indexOf(file);
    if (index >= 0) this.#unconfirmed.splice(index, 1);
  }

  async #store(file: Unconfirmed): Promise<FileRow> {
    const { db, space, clock } = this.#options;
    const { clientId, fileName, size, checksum } = file;
    const folder = clientId.toHex();
    const name = storedName(fileName);
    const replaced = await db.findFile(clientId, fileName);
    await file.flushed;
    await Deno.mkdir(join(this.#filesPath, folder), { recursive: true, mode: FOLDER_MODE });
    await syncDirectory(this.#filesPath);
    await Deno.rename(file.path, join(this.#filesPath, folder, name));
    await syncDirectory(join(this.#filesPath, folder));
    const row = {
      clientId,
      fileName,
      pathName: `files/${folder}/${name}`,
      verified: true,
      size,
      checksum,
      storedAt: timestamp(clock),
    };
    await db.putFile(row);
    space.store({ size, replacedSize: replaced?.verified ? replaced.size : undefined });
    space.release(file);
    this.#rememberConfirmed(file, row);
    return row;
  }

  #rememberConfirmed(target: FileTarget, row: FileRow): void {
    if (this.#unconfirmed.some((file) => confirmedKey(file) === confirmedKey(target))) return;
    this.#confirmed.set(confirmedKey(target), row);
    if (this.#confirmed.size <= CLASSIC.confirmedFilesMax) return;
    const [oldest] = this.#confirmed.keys();
    this.#confirmed.delete(oldest);
  }

  async #drop(file: Unconfirmed): Promise<void> {
    this.#options.space.release(file);
    try {
      await file.flushed.catch(() => {}); // it holds the file open
      await removeIfThere(file.path);
    } catch (error) {
      this.#options.log.error("temporary file stays", error, { file: file.fileName });
    }
  }
}

function confirmedKey({ clientId, fileName }: FileTarget): string {
  return `${clientId.toHex()}/${fileName}`;
}

function sameClient(a: FileTarget, b: FileTarget): boolean {
  return a.clientId.toHex() === b.clientId.toHex();
}
