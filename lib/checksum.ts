/**
 * The POSIX `cksum` checksum of protocol version 3 (docs/protocol.md, "Checksum"): CRC-32 with
 * polynomial 0x04C11DB7, most significant bit first, start value 0, then the length, then NOT.
 * It is not the CRC-32 of zlib. It finds accidents, not attackers.
 */

const POLYNOMIAL = 0x04c11db7;
const SLICES = 16;
/**
 * Sixteen tables of 256 entries, flat: entry `256 * k + b` is the effect of byte `b` with `k` bytes
 * after it. Sixteen bytes then cost sixteen independent look-ups ("slicing-by-16", after
 * Kounavis and Berry, 2005); `bench/` has the throughput.
 */
const TABLES = makeTables();

/** Takes bytes in pieces of any size and tells the checksum of all of them. */
export class Checksum {
  #crc = 0;
  #byteCount = 0;

  /** Takes the next bytes. */
  update(bytes: Uint8Array): this {
    this.#crc = updateCrc(this.#crc, bytes);
    this.#byteCount += bytes.length;
    return this;
  }

  /** Bytes taken so far. */
  get byteCount(): number {
    return this.#byteCount;
  }

  /** The checksum, 0 to 2^32 - 1, of what was taken so far. */
  value(): number {
    let crc = this.#crc;
    // The length follows the data, low byte first, without leading zero bytes.
    for (let rest = this.#byteCount; rest > 0; rest = Math.floor(rest / 256)) {
      crc = updateByte(crc, rest % 256);
    }
    return ~crc >>> 0;
  }
}

/** The checksum of bytes that are all there. */
export function checksum(bytes: Uint8Array): number {
  return new Checksum().update(bytes).value();
}

function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const shorter = tables[i - 256];
    tables[i] = (shorter << 8) ^ tables[shorter >>> 24];
  }
  return tables;
}

function updateByte(crc: number, byte: number): number {
  return (crc << 8) ^ TABLES[(crc >>> 24) ^ byte];
}

function updateCrc(start: number, bytes: Uint8Array): number {
  const t = TABLES; // a local name lets the compiler keep it in a register
  let crc = start;
  let i = 0;
  for (const end = bytes.length - SLICES; i <= end; i += SLICES) {
    crc = t[3840 + ((crc >>> 24) ^ bytes[i])] ^
      t[3584 + (((crc >>> 16) & 255) ^ bytes[i + 1])] ^
      t[3328 + (((crc >>> 8) & 255) ^ bytes[i + 2])] ^
      t[3072 + ((crc & 255) ^ bytes[i + 3])] ^
      t[2816 + bytes[i + 4]] ^
      t[2560 + bytes[i + 5]] ^
      t[2304 + bytes[i + 6]] ^
      t[2048 + bytes[i + 7]] ^
      t[1792 + bytes[i + 8]] ^
      t[1536 + bytes[i + 9]] ^
      t[1280 + bytes[i + 10]] ^
      t[1024 + bytes[i + 11]] ^
      t[768 + bytes[i + 12]] ^
      t[512 + bytes[i + 13]] ^
      t[256 + bytes[i + 14]] ^
      t[bytes[i + 15]];
  }
  for (; i < bytes.length; i++) crc = updateByte(crc, bytes[i]);
  return crc;
}
