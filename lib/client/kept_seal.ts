/**
 * Seals the blocks of a kept file: the names in it are the owner's business also where the profile is read by somebody who
 * has not its keys.
 */
import { ByteWriter } from "../bytes.ts";
import { hmac } from "../kdf.ts";
import { decryptChaCha, encryptChaCha, NONCE_BYTES } from "../vault/aead.ts";

const NOTHING = new Uint8Array(0);

/** The key of one file. It seals each number once, so that the number may be the nonce. */
export class BlockSealer {
  readonly #key: Uint8Array;

  /** @param fileId random, for each file anew */
  constructor(key: Uint8Array, fileId: Uint8Array) {
    this.#key = hmac(key, fileId);
  }

  /** The parts of a block, sealed, in the same order; 16 bytes more than the block. */
  seal(number: number, parts: Uint8Array[]): Uint8Array[] {
    return encryptChaCha(this.#key, { nonce: nonceOf(number), covered: NOTHING, parts });
  }

  /** @throws {DamagedError} if it is not what was sealed with this number in this file */
  open(number: number, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
    const fields = { nonce: nonceOf(number), covered: NOTHING, ciphertext: sealed };
    return decryptChaCha(this.#key, { ...fields, what: "kept entries" });
  }
}

function nonceOf(number: number): Uint8Array {
  return new ByteWriter(NONCE_BYTES).u32(number).bytes(new Uint8Array(NONCE_BYTES - 4)).done();
}
