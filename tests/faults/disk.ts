/**
 * A layer over the file system calls of this process, for all paths below one folder. It notes what is written, and what
 * is flushed, so that every state can be made that a power cut may leave ({@link writeCrashState}); and it can make calls
 * fail. SQLite calls the system itself: its files are looked at whenever something is noted ({@link DatabaseFiles}).
 */
import { dirname, join, relative } from "node:path";
import { DatabaseFiles, type DatabaseImage } from "./database_files.ts";

/** Something that happened to the disk. Paths are relative to the folder; files are known by number. */
export type DiskChange =
  | { kind: "create"; path: string; file: number }
  | { kind: "write"; file: number; offset: number; bytes: Uint8Array }
  | { kind: "truncate"; file: number; size: number }
  | { kind: "makeFolder"; path: string }
  | { kind: "rename"; from: string; to: string; file: number }
  | { kind: "remove"; path: string }
  /** Flushes what was written to a file before the change number `upTo`. */
  | { kind: "sync"; file: number; upTo: number }
  /** The same for the names in a folder. */
  | { kind: "syncFolder"; path: string; upTo: number }
  | { kind: "database"; image: DatabaseImage }
  /** Something was acknowledged: what comes next may be lost, what was before may not. */
  | { kind: "mark" };

/** A call that is about to be made. The path is relative to the folder. */
export interface DiskCall {
  kind: "open" | "read" | "write" | "truncate" | "sync" | "makeFolder" | "rename" | "remove";
  path: string;
}

export interface DiskOptions {
  folder: string;
  /** Below the folder. */
  databaseName: string;
  /** A flush that is taken for done and is not: the layer's own test. */
  ignoresSync?: (path: string) => boolean;
}

export class Disk implements Disposable {
  readonly changes: DiskChange[] = [];
  /** Throws what a call is to fail with. */
  beforeCall: (call: DiskCall) => void = () => {};
  readonly #options: DiskOptions;
  readonly #database: DatabaseFiles;
  /** Numbers of files by path. */
  readonly #files = new Map<string, number>();
  #count = 0;
  readonly #undo: (() => void)[] = [];

  /** From now on, until it is disposed of. What lies in the folder already counts as flushed. */
  constructor(options: DiskOptions) {
    this.#options = options;
    this.#database = new DatabaseFiles(join(options.folder, options.databaseName));
    this.#replaceCalls();
  }

  /** Notes that something was acknowledged. Gives how many changes there are. */
  mark(): number {
    this.#note({ kind: "mark" });
    return this.changes.length;
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.reverse()) undo();
  }

  #note(change: DiskChange): void {
    const image = this.#database.look();
    if (image !== undefined) this.changes.push({ kind: "database", image });
    this.changes.push(change);
  }

  #replaceCalls(): void {
    const { open, mkdir, rename, remove } = Deno;
    this.#replace("open", async (path, options) => {
      const own = this.#own(path);
      if (own === undefined) return await open(path, options);
      this.beforeCall({ kind: "open", path: own });
      const isNew = options?.createNew === true || options?.create === true;
      const file = await open(path, options);
      if (isNew && !this.#files.has(own)) {
        this.#note({ kind: "create", path: own, file: this.#number(own) });
      }
      return this.#watch(file, own, options);
    });
    this.#replace("mkdir", async (path, options) => {
      const own = this.#own(path);
      if (own === undefined) return await mkdir(path, options);
      this.beforeCall({ kind: "makeFolder", path: own });
      const wasThere = exists(String(path));
      await mkdir(path, options);
      if (!wasThere) this.#note({ kind: "makeFolder", path: own });
    });
    this.#replace("rename", async (from, to) => {
      const own = this.#own(from);
      if (own === undefined) return await rename(from, to);
      const target = this.#own(to)!;
      this.beforeCall({ kind: "rename", path: target });
      this.#note({ kind: "rename", from: own, to: target, file: this.#number(own) });
      this.#files.set(target, this.#number(own));
      this.#files.delete(own);
      await rename(from, to);
    });
    this.#replace("remove", async (path, options) => {
      const own = this.#own(path);
      if (own === undefined) return await remove(path, options);
      this.beforeCall({ kind: "remove", path: own });
      await remove(path, options);
      this.#note({ kind: "remove", path: own });
      this.#files.delete(own);
    });
  }

  #replace<Name extends "open" | "mkdir" | "rename" | "remove">(
    name: Name,
    call: typeof Deno[Name],
  ): void {
    const before = Deno[name];
    Deno[name] = call;
    this.#undo.push(() => Deno[name] = before);
  }

  #own(path: string | URL): string | undefined {
    const own = relative(this.#options.folder, String(path));
    return own.startsWith("..") ? undefined : own;
  }

  /** The number of a file; one that was there before has it from its first use. */
  #number(path: string): number {
    const known = this.#files.get(path) ?? this.#count++;
    this.#files.set(path, known);
    return known;
  }

  #watch(file: Deno.FsFile, path: string, options: Deno.OpenOptions | undefined): Deno.FsFile {
    const isFolder = options?.write !== true && Deno.statSync(this.#path(path)).isDirectory;
    const number = isFolder ? -1 : this.#number(path);
    if (!isFolder && options?.createNew !== true && options?.write === true) {
      this.#noteExisting(path, number);
    }
    const { read, write, writeSync, seek, sync, truncate } = file;
    let position = 0;
    const noteWrite = (bytes: Uint8Array) => {
      this.beforeCall({ kind: "write", path });
      this.#note({ kind: "write", file: number, offset: position, bytes: bytes.slice() });
    };
    file.read = async (target) => {
      this.beforeCall({ kind: "read", path });
      const count = await read.call(file, target);
      position += count ?? 0;
      return count;
    };
    file.write = async (bytes) => {
      noteWrite(bytes);
      const count = await write.call(file, bytes);
      position += count;
      return count;
    };
    file.writeSync = (bytes) => {
      noteWrite(bytes);
      const count = writeSync.call(file, bytes);
      position += count;
      return count;
    };
    file.seek = async (offset, whence) => position = await seek.call(file, offset, whence);
    file.truncate = async (size) => {
      this.beforeCall({ kind: "truncate", path });
      this.#note({ kind: "truncate", file: number, size: size ?? 0 });
      await truncate.call(file, size);
    };
    file.sync = async () => {
      this.beforeCall({ kind: "sync", path });
      const upTo = this.changes.length;
      await sync.call(file);
      if (this.#options.ignoresSync?.(path)) return;
      if (isFolder) this.#note({ kind: "syncFolder", path, upTo });
      else this.#note({ kind: "sync", file: number, upTo });
    };
    return file;
  }

  /** A file that was there before the layer was: it is noted under its number, as it is. */
  #noteExisting(path: string, file: number): void {
    if (this.changes.some((change) => "file" in change && change.file === file)) return;
    const upTo = this.changes.length + 3;
    this.#note({ kind: "create", path, file });
    this.#note({ kind: "write", file, offset: 0, bytes: Deno.readFileSync(this.#path(path)) });
    this.#note({ kind: "sync", file, upTo });
    this.#note({ kind: "syncFolder", path: dirname(path), upTo });
  }

  #path(own: string): string {
    return join(this.#options.folder, own);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
