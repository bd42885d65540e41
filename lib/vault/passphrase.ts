/**
 * A device's keys under a passphrase, for a profile on a disk that others may read (docs/format.md,
 * "Passphrase"). scrypt (RFC 7914) makes each guess cost memory and time.
 */
import { scrypt } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { AEAD_KEY_BYTES, decryptAead, encryptAead, ZERO_NONCE } from "./aead.ts";

const VERSION = 1;
const SALT_BYTES = 16;
const HEADER_BYTES = 1 + 1 + SALT_BYTES;
/** 2^16 blocks of 1 KiB: 64 MiB, a fifth of a second. */
export const COST_LOG = 16;
/** More would take a gigabyte. */
const COST_LOG_MAX = 20;
const BLOCK_SIZE = 8;

/** Version, cost, salt, then the bytes under the key that follows from salt and passphrase. */
export async function sealWithPassphrase(
  passphrase: string,
  { plaintext, costLog = COST_LOG }: { plaintext: Uint8Array; costLog?: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  const header = new ByteWriter(HEADER_BYTES).u8(VERSION).u8(costLog).bytes(salt).done();
  const key = await stretch(passphrase, { salt, costLog });
  // The salt is new each time, and so is the key.
  const fields = { nonce: ZERO_NONCE, covered: header, plaintext };
  return concatBytes(header, await encryptAead(key, fields));
}

/** @throws {DamagedError} if the passphrase is another, or the bytes have changed */
export async function openWithPassphrase(
  passphrase: string,
  sealed: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { costLog, salt, ciphertext } = decodeSealed(sealed);
  const key = await stretch(passphrase, { salt, costLog });
  const covered = sealed.subarray(0, HEADER_BYTES);
  return decryptAead(key, { nonce: ZERO_NONCE, covered, ciphertext, what: "device keys" });
}

function decodeSealed(
  sealed: Uint8Array,
): { costLog: number; salt: Uint8Array; ciphertext: Uint8Array } {
  const reader = new ByteReader(sealed);
  try {
    const [version, costLog, salt] = [reader.u8(), reader.u8(), reader.bytes(SALT_BYTES)];
    if (version !== VERSION) throw damaged(`unknown version ${version}`);
    if (costLog < 1 || costLog > COST_LOG_MAX) throw damaged("it asks for too much memory");
    return { costLog, salt, ciphertext: reader.rest() };
  } catch (cause) {
    if (cause instanceof TruncatedError) throw damaged("cut short");
    throw cause;
  }
}

function stretch(
  passphrase: string,
  { salt, costLog }: { salt: Uint8Array; costLog: number },
): Promise<Uint8Array> {
  const cost = 2 ** costLog;
  const memory = 2 * 128 * BLOCK_SIZE * cost;
  const options = { N: cost, r: BLOCK_SIZE, p: 1, maxmem: memory };
  const text = passphrase.normalize("NFC");
  return new Promise((resolve, reject) => {
    scrypt(text, salt, AEAD_KEY_BYTES, options, (error, key) => {
      if (error) reject(error);
      else resolve(new Uint8Array(key));
    });
  });
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot open device keys: ${state}`);
}
