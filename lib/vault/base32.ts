/** Base32 of RFC 4648 without padding: letters and digits that are hard to take for one another. */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTER_BITS = 5;

/** Letters for the bits of the bytes; bits missing in the last letter are zero. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= LETTER_BITS; bits -= LETTER_BITS) {
      text += ALPHABET[(value >>> (bits - LETTER_BITS)) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET[(value << (LETTER_BITS - bits)) & 31];
}

/**
 * The bytes of letters of either case.
 *
 * @throws {SyntaxError} on another letter, or left-over bits that are not zero
 */
export function decodeBase32(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.floor(text.length * LETTER_BITS / 8));
  let value = 0;
  let bits = 0;
  let size = 0;
  for (const letter of text.toUpperCase()) {
    const index = ALPHABET.indexOf(letter);
    if (index < 0) throw new SyntaxError("Cannot decode base32: a letter that is not in it");
    value = (value << LETTER_BITS) | index;
    bits += LETTER_BITS;
    if (bits < 8) continue;
    bits -= 8;
    bytes[size++] = value >>> bits;
    value &= (1 << bits) - 1;
  }
  if (value !== 0) throw new SyntaxError("Cannot decode base32: its last letter is wrong");
  return bytes;
}
