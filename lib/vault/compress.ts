/**
 * Whether and how contents are compressed (docs/format.md, "Compression"). The choice depends on
 * nothing but the contents, or equal contents of two devices would not become the same record.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { releaseBuffer } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { VAULT } from "../limits.ts";

export const Codec = { RAW: 0, ZSTD: 1 } as const;
export type Codec = typeof Codec[keyof typeof Codec];

/** Small records gain 5 % from level 2 and cost a quarter more; large ones, of text, gain 12 %. */
const LEVEL = 1;
const LARGE_LEVEL = 2;
/** What was before is looked for so far back (2 to this power), which a core's cache holds: 5 % faster, 0.5 % larger. */
const LARGE_WINDOW_LOG = 18;
const LARGE_BYTES_MIN = 512 * 1024;
/** Less than this is not worth a second pass when reading: at least 3 % must be saved. */
const RATIO_MAX = 0.97;
const SAMPLE_BYTES = 16 * 1024;
const samples = new Uint8Array(2 * SAMPLE_BYTES);
/** Below this the samples would be most of the contents. */
const SAMPLED_BYTES_MIN = 8 * SAMPLE_BYTES;
/** The runtime takes smaller buffers out of one that many share. */
const ROOM_BYTES_MIN = 16 * 1024;
/**
 * Bytes as unevenly spread as this compress by themselves, without any repetition: by 16 % at least, whatever else is in them.
 * A count of them tells it in a fraction of the time of a trial.
 */
const PLAIN_BITS_PER_BYTE = 6.7;

export interface Compressed {
  codec: Codec;
  /** Compressed bytes are alone in their buffer, raw ones are the contents themselves. */
  bytes: Uint8Array;
}

/** The contents compressed, or as they are where that gains less than 3 %. */
export function compress(content: Uint8Array): Compressed {
  const raw = { codec: Codec.RAW, bytes: content };
  if (content.length >= SAMPLED_BYTES_MIN && !gains(takeSamples(content))) return raw;
  const bytes = deflate(content);
  return bytes.length <= content.length * RATIO_MAX ? { codec: Codec.ZSTD, bytes } : raw;
}

/**
 * The contents: alone in their buffer, unless they were raw.
 *
 * @throws {DamagedError} if the bytes are not of that codec, or give more than a record can hold
 */
export function decompress({ codec, bytes }: Compressed): Uint8Array {
  if (codec === Codec.RAW) return bytes;
  // A byte more: the runtime goes on for as long as it has filled what it was given.
  const room = Math.max(ROOM_BYTES_MIN, (frameContentBytes(bytes) ?? VAULT.plaintextBytesMax) + 1);
  try {
    const options = { chunkSize: room, maxOutputLength: VAULT.plaintextBytesMax };
    return ownBytes(zstdDecompressSync(bytes, options), room);
  } catch (cause) {
    throw new DamagedError("Cannot decompress record: bad or too large", { cause });
  }
}

/** Whether compression gains 3 %. The count is a shortcut: where it says yes, the trial would say it too. */
function gains(sample: Uint8Array): boolean {
  if (bitsPerByte(sample) < PLAIN_BITS_PER_BYTE) return true;
  const trial = deflate(sample);
  const isWorth = trial.length <= sample.length * RATIO_MAX;
  releaseBuffer(trial);
  return isWorth;
}

/** Entropy of single bytes. */
function bitsPerByte(sample: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (let i = 0; i < sample.length; i++) counts[sample[i]]++;
  let bits = 0;
  for (const count of counts) if (count > 0) bits += count * Math.log2(sample.length / count);
  return bits / sample.length;
}

/** The 16 KiB that begin at one quarter and those at three quarters of the contents, until the next call. */
function takeSamples(content: Uint8Array): Uint8Array {
  const quarter = Math.floor(content.length / 4);
  samples.set(content.subarray(quarter, quarter + SAMPLE_BYTES));
  samples.set(content.subarray(3 * quarter, 3 * quarter + SAMPLE_BYTES), SAMPLE_BYTES);
  return samples;
}

/**
 * With room for the longest result there is one piece, and nothing to join. It is alone in its buffer.
 * The frame names the size of the contents, which makes the tables fit them.
 */
function deflate(content: Uint8Array): Uint8Array {
  const room = Math.max(ROOM_BYTES_MIN, compressedBytesMax(content.length));
  const { ZSTD_c_compressionLevel, ZSTD_c_windowLog } = constants;
  const isLarge = content.length >= LARGE_BYTES_MIN;
  const options = {
    params: isLarge
      ? { [ZSTD_c_compressionLevel]: LARGE_LEVEL, [ZSTD_c_windowLog]: LARGE_WINDOW_LOG }
      : { [ZSTD_c_compressionLevel]: LEVEL },
    pledgedSrcSize: content.length,
    chunkSize: room,
  };
  return ownBytes(zstdCompressSync(content, options), room);
}

/** What a frame says that is in it (RFC 8878, 3.1.1.1), up to the most that a record can hold. */
function frameContentBytes(frame: Uint8Array): number | undefined {
  const descriptor = frame[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3];
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6];
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  if (sizeBytes === 0 || frame.length < at + sizeBytes) return undefined;
  let size = sizeBytes === 2 ? 256 : 0;
  for (let i = 0; i < sizeBytes; i++) size += frame[at + i] * 2 ** (8 * i);
  return Math.min(size, VAULT.plaintextBytesMax);
}

/** The bytes as the runtime gave them if they have their buffer, of that size, for themselves. */
function ownBytes(bytes: Uint8Array, room: number): Uint8Array {
  return bytes.buffer.byteLength === room
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    : new Uint8Array(bytes);
}

/** What does not compress grows by this: `ZSTD_COMPRESSBOUND` of zstd.h. */
function compressedBytesMax(size: number): number {
  return size + (size >> 8) + Math.max(0, (128 * 1024 - size) >> 11);
}
