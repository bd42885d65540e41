/** A folder that is gone when the work is done, however the work ends. */
import { join } from "node:path";
import { HoldfastError, RefusedError } from "../errors.ts";

const OWN_MODE = 0o700;

export class TemporaryFolder implements Disposable {
  /** Absolute. Nobody else may look into it. */
  readonly path: string;
  readonly #remove = () => this.#tryRemove();

  private constructor(path: string) {
    this.path = path;
    globalThis.addEventListener("unload", this.#remove); // the process may end before the work does
  }

  /**
   * @param parent folder to make it in; undefined for the system's own place
   * @param purpose what cannot be done without, after "Cannot"
   * @throws {RefusedError} without permission to write there
   */
  static create(parent: string | undefined, purpose: string): TemporaryFolder {
    try {
      const options = parent === undefined ? {} : { dir: parent };
      return new TemporaryFolder(
        Deno.realPathSync(Deno.makeTempDirSync({ ...options, prefix: `holdfast-${purpose}-` })),
      );
    } catch (cause) {
      const where = parent ?? "the system's folder for temporary files";
      if (cause instanceof Deno.errors.NotCapable) {
        throw new RefusedError(`Cannot ${purpose}: no permission to write in ${where}`, {
          hint: parent === undefined
            ? "run with --allow-write, or with --to DIR and --allow-write=DIR"
            : `run with --allow-write=${parent}`,
        });
      }
      throw new HoldfastError(`Cannot ${purpose}: no folder can be made in ${where}`, { cause });
    }
  }

  /** Takes from folders and files what would keep us from reading or removing them. */
  unlock(): void {
    unlock(this.path);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unload", this.#remove);
    try {
      this.unlock();
      Deno.removeSync(this.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // somebody was faster
    }
  }

  #tryRemove(): void {
    try {
      this[Symbol.dispose]();
    } catch {
      // The process ends; nobody could do anything about it.
    }
  }
}

function unlock(folder: string): void {
  Deno.chmodSync(folder, OWN_MODE);
  for (const { name, isDirectory, isFile } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) unlock(path);
    else if (isFile) Deno.chmodSync(path, OWN_MODE);
  }
}
