/**
 * Blobs: immutable byte strings under names, the one thing that packs need of a disk (docs/store.md, "Blobs").
 * The interface and its default, a folder. What every implementation must do is in `tests/blobs_suite.ts`.
 */
import { dirname, join } from "node:path";
import { removeIfThere, syncDirectory } from "./durable.ts";
import { FILE_PIECE_BYTES } from "./limits.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const TEMPORARY_SUFFIX = ".tmp";
const SLOW_WRITE_MS = 20;

/** A blob that is there. */
export interface BlobInfo {
  name: string;
  /** Bytes. */
  size: number;
}

/** A blob that is being put, a piece after another. It is not there before it is finished. */
export interface BlobWriter {
  /** Appends. Calls must not overlap; the bytes may be changed once the promise has settled. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the blob be there, whole and durably. It replaces one of the same name. */
  finish(): Promise<void>;
  /** Gives up: nothing stays. */
  abort(): Promise<void>;
}

/**
 * Names are `<folder>/<name>`, both of lower-case letters, digits and `-`. Failures of the system come as they are;
 * that something is not there is an answer, not an error.
 */
export interface BlobStore {
  /** Begins to put a blob. */
  create(name: string): Promise<BlobWriter>;
  /** Fills the target from `offset` on. Returns how many bytes there were; undefined without the blob. */
  read(name: string, offset: number, target: Uint8Array): Promise<number | undefined>;
  /** Size in bytes; undefined without the blob. */
  size(name: string): Promise<number | undefined>;
  /** Blobs of a folder, in any order; what changes meanwhile may be in it or not. */
  list(folder: string): AsyncIterable<BlobInfo>;
  /** Folders that hold blobs, or held some. */
  listFolders(): AsyncIterable<string>;
  /** Removes blobs that were never finished. To be called while nobody puts any. */
  sweep(): Promise<void>;
  /** Durably. That it is not there is as good. */
  delete(name: string): Promise<void>;
}

/** Puts a blob whole. If it fails, nothing stays. */
export async function putBlob(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  const writer = await blobs.create(name);
  try {
    await writer.write(bytes);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}

/** Reads a blob whole. Undefined if it is not there, or is larger than `bytesMax`. */
export async function readBlob(
  blobs: BlobStore,
  name: string,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const size = await blobs.size(name);
  if (size === undefined || size > bytesMax) return undefined;
  const bytes = new Uint8Array(size);
  return await blobs.read(name, 0, bytes) === size ? bytes : undefined;
}

/** Blobs as files: written under a temporary name, flushed, renamed, and the folder flushed. */
export class FolderBlobs implements BlobStore {
  readonly #path: string;
  readonly #slowWriteMs: number;

  private constructor(path: string, slowWriteMs: number) {
    this.#path = path;
    this.#slowWriteMs = slowWriteMs;
  }

  /** @param slowWriteMs a write that takes longer, in milliseconds, has waited for the disk */
  static async open(path: string, { slowWriteMs = SLOW_WRITE_MS } = {}): Promise<FolderBlobs> {
    await makeFolder(path);
    return new FolderBlobs(path, slowWriteMs);
  }

  async create(name: string): Promise<BlobWriter> {
    const path = this.#pathOf(name);
    await makeFolder(dirname(path));
    return await FileBlobWriter.create(path, this.#slowWriteMs);
  }

  async read(name: string, offset: number, target: Uint8Array): Promise<number | undefined> {
    const path = this.#pathOf(name);
    const opened = await ifThere(Deno.open(path, { read: true }));
    if (opened === undefined) return undefined;
    using file = opened;
    if (offset > 0) await file.seek(offset, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < target.length) {
      const count = await file.read(target.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    return filled;
  }

  async size(name: string): Promise<number | undefined> {
    return (await ifThere(Deno.stat(this.#pathOf(name))))?.size;
  }

  async *list(folder: string): AsyncGenerator<BlobInfo> {
    const path = join(this.#path, checkPart(folder));
    if (await ifThere(Deno.stat(path)) === undefined) return;
    for await (const entry of Deno.readDir(path)) {
      if (!entry.isFile || !isPart(entry.name)) continue;
      const size = sizeIfThere(join(path, entry.name));
      if (size !== undefined) yield { name: `${folder}/${entry.name}`, size };
    }
  }

  async *listFolders(): AsyncGenerator<string> {
    for await (const entry of Deno.readDir(this.#path)) {
      if (entry.isDirectory && isPart(entry.name)) yield entry.name;
    }
  }

  async sweep(): Promise<void> {
    for await (const folder of this.listFolders()) {
      for await (const entry of Deno.readDir(join(this.#path, folder))) {
        if (!entry.isFile || !entry.name.endsWith(TEMPORARY_SUFFIX)) continue;
        await removeIfThere(join(this.#path, folder, entry.name));
      }
    }
  }

  async delete(name: string): Promise<void> {
    const path = this.#pathOf(name);
    await removeIfThere(path);
    if (await ifThere(Deno.stat(dirname(path))) !== undefined) await syncDirectory(dirname(path));
  }

  #pathOf(name: string): string {
    const parts = name.split("/");
    if (parts.length !== 2) throw new RangeError(`No blob can have the name "${name}"`);
    return join(this.#path, ...parts.map(checkPart));
  }
}

class FileBlobWriter implements BlobWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: Deno.FsFile;
  readonly #slowWriteMs: number;
  #isSlow = false;

  private constructor(
    path: string,
    { temporary, file, slowWriteMs }: {
      temporary: string;
      file: Deno.FsFile;
      slowWriteMs: number;
    },
  ) {
    this.#path = path;
    this.#temporary = temporary;
    this.#file = file;
    this.#slowWriteMs = slowWriteMs;
  }

  static async create(path: string, slowWriteMs: number): Promise<FileBlobWriter> {
    const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}${TEMPORARY_SUFFIX}`;
    const options = { write: true, createNew: true, mode: FILE_MODE };
    const file = await Deno.open(temporary, options);
    return new FileBlobWriter(path, { temporary, file, slowWriteMs });
  }

  /**
   * Synchronous, as long as the disk keeps up: what is written is only copied into the system's memory, in less time than
   * another thread takes to begin and to be heard. After a piece that has waited for the disk the rest is left to another
   * thread, so that it holds nobody else up.
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + FILE_PIECE_BYTES);
      if (this.#isSlow) {
        at += await this.#file.write(piece);
        continue;
      }
      const startMs = performance.now();
      at += this.#file.writeSync(piece);
      this.#isSlow = performance.now() - startMs > this.#slowWriteMs;
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#file.sync();
      this.#file.close();
      await Deno.rename(this.#temporary, this.#path);
    } catch (error) {
      await this.abort();
      throw error;
    }
    await syncDirectory(dirname(this.#path));
  }

  async abort(): Promise<void> {
    try {
      this.#file.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already
    }
    await removeIfThere(this.#temporary);
  }
}

/** Makes a folder below one that is there, durably. */
async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

function checkPart(part: string): string {
  if (!isPart(part)) throw new RangeError(`No blob can have the name "${part}"`);
  return part;
}

function isPart(part: string): boolean {
  return /^[0-9a-z-]{1,128}$/.test(part);
}

/** Seven times faster than the asynchronous call, and short. */
function sizeIfThere(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function ifThere<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
