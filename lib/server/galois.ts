/**
 * Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), the field of most Reed-Solomon codes for
 * storage. Adding is XOR. Pure.
 */

const POLYNOMIAL = 0x11d;
/** Elements that are not 0; 2 generates all of them. */
const ORDER = 255;

/** Powers of 2, twice over, so that the sum of two logarithms needs no remainder. */
const POWERS = new Uint8Array(2 * ORDER);
const LOGARITHMS = new Uint8Array(ORDER + 1);
for (let power = 1, exponent = 0; exponent < ORDER; exponent++) {
  POWERS[exponent] = POWERS[exponent + ORDER] = power;
  LOGARITHMS[power] = exponent;
  power <<= 1;
  if (power > ORDER) power ^= POLYNOMIAL;
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : POWERS[LOGARITHMS[a] + LOGARITHMS[b]];
}

/** @throws {RangeError} of 0 */
export function invert(a: number): number {
  if (a === 0) throw new RangeError("Cannot invert 0");
  return POWERS[ORDER - LOGARITHMS[a]];
}

/**
 * The inverse of a square matrix, by Gauss and Jordan.
 *
 * @throws {RangeError} if it has none
 */
export function invertMatrix(matrix: readonly Uint8Array[]): Uint8Array[] {
  const size = matrix.length;
  // The matrix with the identity at its right; when the left is the identity, the right is the inverse.
  const rows = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + i] = 1;
    return wide;
  });
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0);
    if (pivot < 0) throw new RangeError("Cannot invert matrix: it is singular");
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    scale(rows[column], invert(rows[column][column]));
    for (const [i, row] of rows.entries()) {
      if (i !== column) addScaled(row, rows[column], row[column]);
    }
  }
  return rows.map((row) => row.slice(size));
}

function scale(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = multiply(row[i], factor);
}

function addScaled(row: Uint8Array, other: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] ^= multiply(other[i], factor);
}
