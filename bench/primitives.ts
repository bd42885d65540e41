/** Throughput of the checksum, of AES-CBC and of the ciphers for records, alone, in the pieces in which the programs use them. */
import { createDecipheriv } from "node:crypto";
import { concatBytes } from "../lib/bytes.ts";
import { Checksum } from "../lib/checksum.ts";
import { CbcDecryptor, CbcEncryptor } from "../lib/crypto.ts";
import { CLASSIC, CLIENT_DEFAULTS } from "../lib/limits.ts";
import { decryptChaCha, encryptAead, encryptChaCha, ZERO_NONCE } from "../lib/vault/aead.ts";
import { megabytesPerSecond, type Row } from "./table.ts";

const WARM_UP_MS = 300;
const MEASURE_MS = 1000;
/** A record of small files; a chunk of a large one is about four times as large. */
const RECORD_BYTES = 256 * 1024;

export async function benchPrimitives(): Promise<Row[]> {
  const key = crypto.getRandomValues(new Uint8Array(16));
  const large = randomBytes(CLIENT_DEFAULTS.pieceBytes);
  const small = randomBytes(CLASSIC.pieceBytes);
  const sum = new Checksum();
  const encryptor = await CbcEncryptor.create(key);
  const decryptor = await CbcDecryptor.create(key);
  const node = createDecipheriv("aes-128-cbc", key, new Uint8Array(16)).setAutoPadding(false);
  return [
    await measure("cksum", large, () => Promise.resolve(sum.update(large))),
    await measure("AES-128-CBC encrypt (client)", large, () => encryptor.update(large)),
    await measure("AES-128-CBC decrypt (server)", small, () => decryptor.update(small)),
    await measure(
      "AES-128-CBC decrypt, node:crypto",
      small,
      () => Promise.resolve(node.update(small)),
    ),
    ...await benchRecordCiphers(),
  ];
}

async function benchRecordCiphers(): Promise<Row[]> {
  const key = crypto.getRandomValues(new Uint8Array(32));
  const record = randomBytes(RECORD_BYTES);
  const context = { nonce: ZERO_NONCE, covered: new Uint8Array(4) };
  const ciphertext = concatBytes(...encryptChaCha(key, { ...context, parts: [record] }));
  const opening = { ...context, ciphertext, what: "record" };
  return [
    await measure(
      "AES-256-GCM encrypt, WebCrypto",
      record,
      () => encryptAead(key, { ...context, plaintext: record }),
    ),
    await measure(
      "ChaCha20-Poly1305 encrypt, node:crypto",
      record,
      () => Promise.resolve(encryptChaCha(key, { ...context, parts: [record] })),
    ),
    await measure(
      "ChaCha20-Poly1305 decrypt, node:crypto",
      record,
      () => Promise.resolve(decryptChaCha(key, opening)),
    ),
  ];
}

async function measure(
  what: string,
  piece: Uint8Array,
  work: () => Promise<unknown>,
): Promise<Row> {
  await repeat(work, WARM_UP_MS);
  const { times, ms } = await repeat(work, MEASURE_MS);
  return {
    what,
    piece: `${piece.length / 1024} KiB`,
    throughput: megabytesPerSecond(times * piece.length, ms),
  };
}

async function repeat(
  work: () => Promise<unknown>,
  maxMs: number,
): Promise<{ times: number; ms: number }> {
  const start = performance.now();
  let times = 0;
  let ms = 0;
  while (ms < maxMs) {
    await work();
    times++;
    ms = performance.now() - start;
  }
  return { times, ms };
}

function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 65536) crypto.getRandomValues(bytes.subarray(i, i + 65536));
  return bytes;
}
