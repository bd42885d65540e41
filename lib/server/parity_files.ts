/**
 * Where parity is (docs/store.md, "Parity"): blobs in the folder `parity` beside `packs`, under the names of their packs.
 * The folder is made with the first of them: who does not want parity has none of it.
 */
import { join } from "node:path";
import { type BlobInfo, type BlobStore, FolderBlobs, putBlob } from "../blobs.ts";
import { isUnreadable } from "../durable.ts";
import { PARITY } from "../limits.ts";
import { packBlobName, type PackFile } from "./pack_reader.ts";
import { blockAt, countBlocks, PARITY_BLOCK_BYTES } from "./parity_format.ts";

type PackName = Pick<PackFile, "vaultId" | "name">;

export class ParityFiles {
  readonly #path: string;
  #blobs: FolderBlobs | undefined;

  constructor(dataPath: string) {
    this.#path = join(dataPath, "parity");
  }

  async put(pack: PackName, bytes: Uint8Array): Promise<void> {
    this.#blobs ??= await FolderBlobs.open(this.#path);
    await putBlob(this.#blobs, packBlobName(pack), bytes);
  }

  /** With zeros where the disk cannot read. Undefined if it is not there, or is larger than any. */
  async read(pack: PackName): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const blobs = await this.#open();
    const size = await blobs?.size(packBlobName(pack));
    if (blobs === undefined || size === undefined || size > PARITY.fileBytesMax) return undefined;
    const bytes = new Uint8Array(size);
    await readWhatCan(blobs, packBlobName(pack), bytes);
    return bytes;
  }

  async delete(pack: PackName): Promise<void> {
    await (await this.#open())?.delete(packBlobName(pack));
  }

  /** Parity of a vault, under the names of the packs. */
  async *list(vaultId: Uint8Array): AsyncGenerator<BlobInfo> {
    const blobs = await this.#open();
    if (blobs === undefined) return;
    for await (const { name, size } of blobs.list(vaultId.toHex())) {
      yield { name: name.slice(name.indexOf("/") + 1), size };
    }
  }

  /** Removes what was never finished. */
  async sweep(): Promise<void> {
    await (await this.#open())?.sweep();
  }

  /** Undefined as long as there is no parity. */
  async #open(): Promise<FolderBlobs | undefined> {
    if (this.#blobs === undefined && await isFolder(this.#path)) {
      this.#blobs = await FolderBlobs.open(this.#path);
    }
    return this.#blobs;
  }
}

/** Reads the beginning of a blob into a target of zeros; what the disk cannot read, or is not there, stays zeros. */
export async function readWhatCan(
  blobs: BlobStore,
  name: string,
  target: Uint8Array,
): Promise<void> {
  try {
    await blobs.read(name, 0, target);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    for (let block = 0; block < countBlocks(target.length); block++) {
      const bytes = blockAt(target, block);
      try {
        await blobs.read(name, block * PARITY_BLOCK_BYTES, bytes);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        bytes.fill(0);
      }
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
