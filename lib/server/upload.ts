/**
 * One file of protocol version 3 on its way from the network to a temporary file: written and summed as it comes.
 */
import { Checksum } from "../checksum.ts";
import { removeIfThere, writeAll } from "../durable.ts";

const FILE_MODE = 0o600;

/** A file that was received whole, under its temporary name. */
export interface Received {
  path: string;
  size: number;
  checksum: number;
  /** Its flush to disk. Begun at once, so that it runs while the client compares. */
  flushed: Promise<void>;
}

export class Upload {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #sum = new Checksum();

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  static async create(path: string): Promise<Upload> {
    return new Upload(
      await Deno.open(path, { write: true, createNew: true, mode: FILE_MODE }),
      path,
    );
  }

  /** Appends plaintext. Calls must not overlap. */
  async write(plain: Uint8Array): Promise<void> {
    const written = writeAll(this.#file, plain);
    this.#sum.update(plain); // while the system writes
    await written;
  }

  /** Ends the file. Whoever calls owns it from then on. */
  finish(): Received {
    const flushed = this.#file.sync().finally(() => this.#file.close());
    flushed.catch(() => {}); // whoever confirms the file awaits it; nobody may
    return {
      path: this.#path,
      size: this.#sum.byteCount,
      checksum: this.#sum.value(),
      flushed,
    };
  }

  /** Closes and removes what was written. */
  async abort(): Promise<void> {
    this.#file.close();
    await removeIfThere(this.#path);
  }
}
