/** Throughput of the checksum and of AES-CBC, alone, in the pieces in which the programs use them. */
import { createDecipheriv } from "node:crypto";
import { Checksum } from "../lib/checksum.ts";
import { CbcDecryptor, CbcEncryptor } from "../lib/crypto.ts";
import { CLASSIC, CLIENT_DEFAULTS } from "../lib/limits.ts";
import { megabytesPerSecond, type Row } from "./table.ts";

const WARM_UP_MS = 300;
const MEASURE_MS = 1000;

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
