/**
 * HMAC and HKDF with SHA-256 (RFC 2104, RFC 5869), in one call each. From `node:crypto`, because it
 * answers at once and takes half of WebCrypto's time.
 */
import { createHmac, hkdfSync } from "node:crypto";

export const HASH_BYTES = 32;

/** HMAC-SHA-256 of the parts one after another. 32 bytes. */
export function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
}

/** HKDF-SHA-256: `size` bytes (32 unless told, at most 8160) for one purpose, named by `info`. */
export function hkdf(
  secret: Uint8Array,
  { info, salt = new Uint8Array(0), size = HASH_BYTES }: {
    info: string | Uint8Array;
    salt?: Uint8Array;
    size?: number;
  },
): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hkdfSync("sha256", secret, salt, info, size));
}
