/**
 * Where the profile keeps the last snapshot's entries: a file for each set of paths (docs/architecture.md, "Kept
 * entries"). A run writes its own file beside it, and puts it in its place when its snapshot is committed.
 */
import { join } from "node:path";
import { concatBytes } from "../bytes.ts";
import { hkdf } from "../kdf.ts";
import { KeptFile, KeptWriter } from "./kept_file.ts";

const FOLDER = "kept";
const UNFINISHED = ".tmp";
/** Files that a run has left behind when it was killed are removed after this time. */
const UNFINISHED_MS_MAX = 24 * 60 * 60 * 1000;

export interface KeptPlace {
  /** Folder of the profile. */
  profilePath: string;
  vaultId: Uint8Array;
  /** Write secret of the first epoch: from it follows the key that the file is sealed with. */
  writeSecret: Uint8Array;
  /** Label of the set of paths. */
  setLabel: Uint8Array;
}

export class KeptStore {
  readonly #path: string;
  readonly #folder: string;
  readonly #key: Uint8Array;
  readonly #unfinished: string[] = [];

  constructor({ profilePath, vaultId, writeSecret, setLabel }: KeptPlace) {
    this.#folder = join(profilePath, FOLDER);
    this.#path = join(this.#folder, setLabel.toHex());
    const info = concatBytes(new TextEncoder().encode("holdfast/4 kept"), vaultId, setLabel);
    this.#key = hkdf(writeSecret, { info });
  }

  /** The entries of the last snapshot, if they are there and right. */
  open(): KeptFile | undefined {
    return KeptFile.open(this.#path, this.#key);
  }

  /** Begins the next file. */
  begin(): { writer: KeptWriter; path: string } {
    Deno.mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#removeAbandoned();
    const path = `${this.#path}.${crypto.randomUUID()}${UNFINISHED}`;
    const writer = new KeptWriter(path, this.#key);
    this.#unfinished.push(path);
    return { writer, path };
  }

  /** A file that was written and is not in its place yet. */
  openUnfinished(path: string): KeptFile | undefined {
    return KeptFile.open(path, this.#key);
  }

  /** Puts a finished file in its place. */
  replace(path: string): void {
    Deno.renameSync(path, this.#path);
  }

  /** Removes what is not in its place. */
  removeUnfinished(): void {
    for (const path of this.#unfinished.splice(0)) removeIfThere(path);
  }

  #removeAbandoned(): void {
    for (const { name } of Deno.readDirSync(this.#folder)) {
      const path = join(this.#folder, name);
      if (!name.endsWith(UNFINISHED)) continue;
      const time = Deno.lstatSync(path).mtime?.getTime() ?? 0;
      if (Date.now() - time > UNFINISHED_MS_MAX) removeIfThere(path);
    }
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
