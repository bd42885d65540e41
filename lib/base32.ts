/** Base32 of RFC 4648 in lower case, without padding: for names that must not depend on case. */

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

export function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8 | byte) & 0xfff; // at most 4 bits wait for the next byte
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[buffer >> (bits - 5) & 31];
  }
  if (bits > 0) text += ALPHABET[buffer << (5 - bits) & 31];
  return text;
}

/**
 * The opposite, for text of either case that stands for `size` bytes.
 *
 * @throws {SyntaxError} if it does not
 */
export function decodeBase32(text: string, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let buffer = 0;
  let bits = 0;
  let offset = 0;
  for (const character of text.toLowerCase()) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) throw new SyntaxError("Cannot decode base32: unknown character");
    buffer = (buffer << 5 | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[offset++] = buffer >> bits;
  }
  const isWhole = offset === size && text.length === Math.ceil(size * 8 / 5);
  if (!isWhole || (buffer & ((1 << bits) - 1)) !== 0) {
    throw new SyntaxError(`Cannot decode base32: not the text of ${size} bytes`);
  }
  return bytes;
}
