/**
 * Invites to a vault (docs/format.md, "Invites"): 32 random bytes x on one line of text let one device
 * join. The server gets a token that follows from x, and a bundle that only x opens.
 */
import { ByteReader, ByteWriter, concatBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { isRole, type Role, SIGNER_ID_BYTES } from "../identity.ts";
import type { InviteGrant } from "../journal_body.ts";
import {
  EVENT_HASH_BYTES,
  inviteMessage,
  type JournalPoint,
  SIGNATURE_BYTES,
  type Signer,
} from "../journal.ts";
import { hkdf } from "../kdf.ts";
import { AEAD_KEY_BYTES, decryptAead, encryptAead, NONCE_BYTES } from "./aead.ts";
import { decodeKeyring, encodeKeyring, type Keyring } from "./keyring.ts";
import { importSigner } from "./signing.ts";

export const INVITE_SECRET_BYTES = 32;
const BUNDLE_VERSION = 1;
const BUNDLE_LABEL = new TextEncoder().encode("holdfast/4 invite bundle");
const VAULT_ID_BYTES = 32;

/** What follows from x. */
export interface InviteKeys {
  /** Sent to the server, which keeps only its hash. 32 bytes. */
  token: Uint8Array;
  /** Never sent. 32 bytes. */
  sealKey: Uint8Array;
  /** Ed25519: stands in the grant; its private half signs the joining device's event. */
  publicKey: Uint8Array;
  sign: Signer;
}

/** What the joining device needs. */
export interface InviteBundle {
  vaultId: Uint8Array;
  /** An event that the journal must have: what the owner had seen. */
  newest: JournalPoint;
  role: Role;
  grant: InviteGrant;
  keyring: Keyring;
}

export async function deriveInviteKeys(secret: Uint8Array): Promise<InviteKeys> {
  if (secret.length !== INVITE_SECRET_BYTES) throw new RangeError("Not an invite secret");
  const signing = await importSigner(hkdf(secret, { info: "holdfast/4 invite ed25519" }));
  return {
    token: hkdf(secret, { info: "holdfast/4 invite token" }),
    sealKey: hkdf(secret, { info: "holdfast/4 invite seal", size: AEAD_KEY_BYTES }),
    ...signing,
  };
}

/** An owner's permission for the device that will hold the invite's key. */
export async function grantInvite(
  { vaultId, owner, role, expiresMs, publicKey }: {
    vaultId: Uint8Array;
    owner: { id: Uint8Array; sign: Signer };
    role: Role;
    expiresMs: number;
    publicKey: Uint8Array;
  },
): Promise<InviteGrant> {
  const grant = { owner: owner.id, expiresMs, publicKey };
  const signature = await owner.sign(inviteMessage({ ...grant, role }, vaultId));
  return { ...grant, signature };
}

/** Nonce, then the bundle under the seal key. */
export async function sealBundle(
  { sealKey }: InviteKeys,
  bundle: InviteBundle,
): Promise<Uint8Array<ArrayBuffer>> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const fields = { nonce, covered: BUNDLE_LABEL, plaintext: encodeBundle(bundle) };
  return concatBytes(nonce, await encryptAead(sealKey, fields));
}

/** @throws {DamagedError} if it was not sealed with this invite */
export async function openBundle(
  keys: InviteKeys,
  sealed: Uint8Array,
): Promise<InviteBundle> {
  const [nonce, ciphertext] = [sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES)];
  if (nonce.length < NONCE_BYTES) throw damaged("cut short");
  const fields = { nonce, covered: BUNDLE_LABEL, ciphertext, what: "invite" };
  return decodeBundle(await decryptAead(keys.sealKey, fields), keys.publicKey);
}

function encodeBundle({ vaultId, newest, role, grant, keyring }: InviteBundle): Uint8Array {
  const size = 1 + VAULT_ID_BYTES + 8 + EVENT_HASH_BYTES + 1 + SIGNER_ID_BYTES + 8 +
    SIGNATURE_BYTES;
  const fields = new ByteWriter(size).u8(BUNDLE_VERSION).bytes(vaultId).u64(newest.number)
    .bytes(newest.hash).u8(role).bytes(grant.owner).u64(grant.expiresMs).bytes(grant.signature)
    .done();
  return concatBytes(fields, encodeKeyring(keyring));
}

function decodeBundle(bytes: Uint8Array, publicKey: Uint8Array): InviteBundle {
  const reader = new ByteReader(bytes);
  try {
    if (reader.u8() !== BUNDLE_VERSION) throw damaged("unknown version");
    const vaultId = reader.bytes(VAULT_ID_BYTES);
    const newest = { number: reader.u64(), hash: reader.bytes(EVENT_HASH_BYTES) };
    const role = reader.u8();
    if (!isRole(role)) throw damaged("unknown role");
    const [owner, expiresMs] = [reader.bytes(SIGNER_ID_BYTES), reader.u64()];
    const grant = { owner, expiresMs, publicKey, signature: reader.bytes(SIGNATURE_BYTES) };
    return { vaultId, newest, role, grant, keyring: decodeKeyring(reader.rest()) };
  } catch (cause) {
    if (cause instanceof TruncatedError || cause instanceof RangeError) throw damaged("cut short");
    throw cause;
  }
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot open invite: ${state}`);
}
