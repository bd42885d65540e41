/**
 * Padme (docs/format.md, "Padding"): sizes are rounded up so that a size of n bits keeps only about
 * log n of them. It costs at most 12 %, less the larger the size, and hides what exact sizes tell.
 */

/** The size, at least `size`, that a plaintext of `size` bytes is padded to. */
export function padmeSize(size: number): number {
  if (!Number.isSafeInteger(size) || size < 0 || size > 2 ** 31) {
    throw new RangeError(`Cannot pad ${size} bytes`);
  }
  if (size < 2) return size;
  const exponent = 31 - Math.clz32(size);
  const exponentBits = 32 - Math.clz32(exponent);
  const step = 2 ** Math.max(0, exponent - exponentBits);
  return Math.ceil(size / step) * step;
}
