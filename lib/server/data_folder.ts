/** The server's data folder: made when missing, and used by one server at a time. */
import { join } from "node:path";
import { describeError, HoldfastError } from "../errors.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/** A data folder that is ours until it is closed, or until the process ends in whatever way. */
export class DataFolder implements Disposable {
  readonly path: string;
  readonly #lock: Deno.FsFile;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /** @throws {HoldfastError} if it cannot be written, or another server uses it */
  static open(path: string): DataFolder {
    const folder = DataFolder.tryOpen(path);
    if (folder) return folder;
    throw new HoldfastError(`Cannot use data folder ${path}: another server uses it`, {
      hint: "stop the other server, or name another folder with --data",
    });
  }

  /** Undefined if another server uses it. @throws {HoldfastError} if it cannot be written */
  static tryOpen(path: string): DataFolder | undefined {
    let lock: Deno.FsFile;
    try {
      Deno.mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
      lock = openPrivate(join(path, "holdfast.lock"));
      openPrivate(join(path, "holdfast.db")).close(); // SQLite would let others read it
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) throw cause;
      throw new HoldfastError(`Cannot use data folder ${path}: ${describeError(cause)}`, {
        hint: "it must be a folder that this user may write; --data names another",
      });
    }
    if (lock.tryLockSync(true)) return new DataFolder(path, lock);
    lock.close();
    return undefined;
  }

  /** Path of the database. */
  get databasePath(): string {
    return databasePath(this.path);
  }

  [Symbol.dispose](): void {
    this.#lock.unlockSync(); // a process that is just being started may still hold a copy of the open file
    this.#lock.close();
  }
}

/** Path of the database in a data folder. */
export function databasePath(dataPath: string): string {
  return join(dataPath, "holdfast.db");
}

function openPrivate(path: string): Deno.FsFile {
  return Deno.openSync(path, { write: true, create: true, mode: FILE_MODE });
}
