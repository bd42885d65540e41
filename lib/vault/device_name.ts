/** Names of devices in the journal, readable to the devices of the vault only (docs/format.md, "Names"). */
import { ByteReader, ByteWriter, concatBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { decryptAead, encryptAead, NONCE_BYTES } from "./aead.ts";
import { deriveWriteKeys } from "./secrets.ts";

/** The size that every name is padded to; so sizes say nothing. */
const NAME_BYTES = 255;
const NAME_LABEL = new TextEncoder().encode("holdfast/4 name");

/** Epoch 4, nonce 12, then the name (UTF-8, at most 255 bytes, zero padded) sealed. 287 bytes. */
export async function sealName(
  name: string,
  { writeSecret, epoch }: { writeSecret: Uint8Array; epoch: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > NAME_BYTES || bytes.includes(0)) throw new RangeError("Bad device name");
  const padded = concatBytes(bytes, new Uint8Array(NAME_BYTES - bytes.length));
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const { nameKey } = deriveWriteKeys(writeSecret);
  const body = await encryptAead(nameKey, { nonce, covered: NAME_LABEL, plaintext: padded });
  return concatBytes(new ByteWriter(4).u32(epoch).done(), nonce, body);
}

/**
 * @param writeSecrets of all epochs, first to newest
 * @throws {DamagedError} if it is not sealed with one of them
 */
export async function openName(sealed: Uint8Array, writeSecrets: Uint8Array[]): Promise<string> {
  if (sealed.length < 4 + NONCE_BYTES) throw new DamagedError("Cannot open name: cut short");
  const reader = new ByteReader(sealed);
  const secret = writeSecrets[reader.u32() - 1];
  if (secret === undefined) throw new DamagedError("Cannot open name: its epoch is not known");
  const { nameKey } = deriveWriteKeys(secret);
  const fields = { nonce: reader.bytes(NONCE_BYTES), covered: NAME_LABEL, what: "name" };
  const padded = await decryptAead(nameKey, { ...fields, ciphertext: reader.rest() });
  const end = padded.indexOf(0);
  return new TextDecoder().decode(end < 0 ? padded : padded.subarray(0, end));
}
