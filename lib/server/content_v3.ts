/** The ciphertext of a SEND_FILE message: from the network through decryption into an {@link Upload}. */
import type { Channel } from "../channel.ts";
import type { CbcDecryptor } from "../crypto.ts";
import { UnreachableError } from "../errors.ts";
import { CLASSIC } from "../limits.ts";
import type { Upload } from "./upload.ts";

/** What is still to come of a message's content; more than that cannot be read through it. */
export class Content {
  readonly #channel: Channel;
  #left: number;

  constructor(channel: Channel, bytes: number) {
    this.#channel = channel;
    this.#left = bytes;
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#left;
  }

  /** Fills the target, which is not larger than what is left. */
  async read(target: Uint8Array): Promise<void> {
    const count = await this.#channel.readInto(target);
    this.#left -= count;
    if (count < target.length) throw this.#ended();
  }

  async skipRest(): Promise<void> {
    const left = this.#left;
    this.#left = 0;
    if (!(await this.#channel.skip(left))) throw this.#ended();
  }

  #ended(): UnreachableError {
    return new UnreachableError("Cannot receive file: connection closed within it");
  }
}

/**
 * Decrypts all content into the upload. While a piece is decrypted, summed and written, the next one is read; no more
 * than these two are in memory.
 */
export async function decryptContent(
  content: Content,
  decryptor: CbcDecryptor,
  upload: Upload,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(CLASSIC.pieceBytes, content.left));
  let writing = Promise.resolve();
  try {
    while (content.left > 0) {
      const piece = buffer.subarray(0, Math.min(buffer.length, content.left));
      await content.read(piece);
      await writing;
      writing = writePiece(piece, content.left === 0);
      writing.catch(() => {}); // it is awaited below; meanwhile nobody looks
    }
  } finally {
    await writing; // the upload must not be closed under it
  }

  async function writePiece(piece: Uint8Array, isLast: boolean): Promise<void> {
    await upload.write(await (isLast ? decryptor.finish(piece) : decryptor.update(piece)));
  }
}
