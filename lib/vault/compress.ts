/**
 * Whether and how contents are compressed (docs/format.md, "Compression"). The choice depends on
 * nothing but the contents, or equal contents of two devices would not become the same record.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { DamagedError } from "../errors.ts";
import { VAULT } from "../limits.ts";

export const Codec = { RAW: 0, ZSTD: 1 } as const;
export type Codec = typeof Codec[keyof typeof Codec];

const LEVEL = 1;
/** Less than this is not worth a second pass when reading: at least 3 % must be saved. */
const RATIO_MAX = 0.97;
const SAMPLE_BYTES = 16 * 1024;
/** Below this the samples would be most of the contents. */
const SAMPLED_BYTES_MIN = 8 * SAMPLE_BYTES;

export interface Compressed {
  codec: Codec;
  bytes: Uint8Array;
}

/** The contents compressed, or as they are where that gains less than 3 %. */
export function compress(content: Uint8Array): Compressed {
  const raw = { codec: Codec.RAW, bytes: content };
  if (content.length >= SAMPLED_BYTES_MIN && !gains(takeSamples(content))) return raw;
  const bytes = deflate(content);
  return bytes.length <= content.length * RATIO_MAX ? { codec: Codec.ZSTD, bytes } : raw;
}

/** @throws {DamagedError} if the bytes are not of that codec, or give more than a record can hold */
export function decompress({ codec, bytes }: Compressed): Uint8Array {
  if (codec === Codec.RAW) return bytes;
  try {
    const content = zstdDecompressSync(bytes, { maxOutputLength: VAULT.plaintextBytesMax });
    return asBytes(content);
  } catch (cause) {
    throw new DamagedError("Cannot decompress record: bad or too large", { cause });
  }
}

function gains(sample: Uint8Array): boolean {
  return deflate(sample).length <= sample.length * RATIO_MAX;
}

/** The 16 KiB that begin at one quarter and those at three quarters of the contents. */
function takeSamples(content: Uint8Array): Uint8Array {
  const samples = new Uint8Array(2 * SAMPLE_BYTES);
  const quarter = Math.floor(content.length / 4);
  samples.set(content.subarray(quarter, quarter + SAMPLE_BYTES));
  samples.set(content.subarray(3 * quarter, 3 * quarter + SAMPLE_BYTES), SAMPLE_BYTES);
  return samples;
}

function deflate(content: Uint8Array): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL };
  return asBytes(zstdCompressSync(content, { chunkSize: 128 * 1024, params }));
}

function asBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
