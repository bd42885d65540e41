/**
 * Cursors over bytes: the only place where numbers and fields are cut out of a buffer. All numbers
 * are unsigned and little-endian, as in both protocols and in every file format (docs/protocol.md).
 */

/** Thrown by {@link ByteReader} when a field reaches past the end of the bytes. */
export class TruncatedError extends Error {
  override name = "TruncatedError";
}

/** Reads fields one after another and never past the end. Slices are views, not copies. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** A 64-bit number that must be a safe integer; a larger one throws {@link RangeError}. */
  u64(): number {
    const value = this.#view.getBigUint64(this.#advance(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new RangeError("Cannot read number: it is over 2^53 - 1");
    }
    return Number(value);
  }

  /** The next `size` bytes, as a view. */
  bytes(size: number): Uint8Array {
    const start = this.#advance(size);
    return this.#bytes.subarray(start, start + size);
  }

  /** All that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** Throws {@link TruncatedError} unless every byte has been read. */
  end(): void {
    if (this.remaining !== 0) {
      throw new TruncatedError(`Cannot decode bytes: ${this.remaining} left over at the end`);
    }
  }

  #advance(size: number): number {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`Bad field size ${size}`);
    if (size > this.remaining) {
      throw new TruncatedError(
        `Cannot decode bytes: ${size} needed at offset ${this.#offset}, ${this.remaining} there`,
      );
    }
    const start = this.#offset;
    this.#offset += size;
    return start;
  }
}

/** Writes fields one after another into a buffer of a size known in advance. */
export class ByteWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #offset = 0;

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): this {
    checkRange(value, 0xff);
    this.#view.setUint8(this.#advance(1), value);
    return this;
  }

  u16(value: number): this {
    checkRange(value, 0xffff);
    this.#view.setUint16(this.#advance(2), value, true);
    return this;
  }

  u32(value: number): this {
    checkRange(value, 0xffffffff);
    this.#view.setUint32(this.#advance(4), value, true);
    return this;
  }

  u64(value: number): this {
    checkRange(value, Number.MAX_SAFE_INTEGER);
    this.#view.setBigUint64(this.#advance(8), BigInt(value), true);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#advance(value.length));
    return this;
  }

  /** The finished buffer. Throws {@link RangeError} if fields are missing: a caller's bug. */
  done(): Uint8Array<ArrayBuffer> {
    if (this.#offset !== this.#bytes.length) {
      throw new RangeError(`Wrote ${this.#offset} of ${this.#bytes.length} bytes`);
    }
    return this.#bytes;
  }

  #advance(size: number): number {
    const start = this.#offset;
    if (start + size > this.#bytes.length) {
      throw new RangeError(`Field of ${size} bytes does not fit at offset ${start}`);
    }
    this.#offset += size;
    return start;
  }
}

/** The parts, one after another, in a new buffer. */
export function concatBytes(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const part of parts) size += part.length;
  const all = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** Joins neighbours as long as they are small: to write each by itself would take longer than the copy. */
export function* joinSmall(pieces: Uint8Array[], joinedBytesMax: number): Generator<Uint8Array> {
  let run: Uint8Array[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    if (bytes + piece.length > joinedBytesMax && run.length > 0) {
      yield run.length === 1 ? run[0] : concatBytes(...run);
      run = [];
      bytes = 0;
    }
    run.push(piece);
    bytes += piece.length;
  }
  if (run.length > 0) yield run.length === 1 ? run[0] : concatBytes(...run);
}

/**
 * Gives the memory of bytes back at once, without waiting for the garbage collector, which lets many megabytes gather. They are
 * gone then: nobody may have them any more. Bytes that share their buffer with others are left alone.
 */
export function releaseBytes(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) buffer.transfer(0);
}

/** The same, with all else that is in the buffer. Only for one who owns all of it. */
export function releaseBuffer({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Whether both hold the same bytes. Not for secrets: it stops at the first difference. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}

/**
 * Bytes of hexadecimal text of either case.
 *
 * @throws {SyntaxError} if it is not hexadecimal, or not of `size` bytes
 */
export function decodeHex(text: string, size: number): Uint8Array<ArrayBuffer> {
  if (text.length !== size * 2 || !/^[0-9a-f]*$/i.test(text)) {
    throw new SyntaxError(`Cannot decode hex: ${size * 2} digits expected`);
  }
  return Uint8Array.fromHex(text);
}

function checkRange(value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new RangeError(`Number ${value} is not within 0 to ${max}`);
  }
}
