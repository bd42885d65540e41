/** Ed25519 keys from seeds (RFC 8032): of devices, recovery codes and invites. */
import { concatBytes } from "../bytes.ts";
import type { Signer } from "../journal.ts";

export const SIGNING_SEED_BYTES = 32;
/** What stands before the seed in the DER of RFC 8410, section 7. */
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b657004220420");

/** @returns the public key (32 bytes), and what signs with the private one */
export async function importSigner(
  seed: Uint8Array,
): Promise<{ publicKey: Uint8Array<ArrayBuffer>; sign: Signer }> {
  if (seed.length !== SIGNING_SEED_BYTES) throw new RangeError("Seed of a wrong size");
  const pkcs8 = concatBytes(PKCS8_PREFIX, seed);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  const publicKey = Uint8Array.fromBase64(x!, { alphabet: "base64url" });
  const sign: Signer = async (message) => {
    return new Uint8Array(await crypto.subtle.sign("Ed25519", key, message));
  };
  return { publicKey, sign };
}
