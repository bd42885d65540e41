/**
 * The server's half of the login of version 4 (docs/protocol_v4.md, "Login"). A challenge is made for one HELLO and
 * used up by one PROVE.
 */
import { DamagedError } from "../errors.ts";
import { importVerifier, verifySignature } from "../journal.ts";
import type { JournalState } from "../journal_state.ts";
import {
  checkLogin,
  encryptLoginSecret,
  importRsaPublicKey,
  LOGIN_SECRET_BYTES,
  type LoginChallenge,
  loginMessage,
  NONCE_BYTES,
} from "../login.ts";
import { ErrorCode } from "../protocol_v4.ts";
import { decodeProof, encodeChallenge, type Hello, LoginKind } from "../protocol_v4_login.ts";
import { decodeRequest, RequestError } from "./request_error.ts";
import type { Vault, VaultStore } from "./vault_store.ts";

/** Who wants in, and what proves it. */
export interface PendingLogin {
  vault: Vault;
  kind: LoginKind;
  id: Uint8Array;
  /** Payload of the CHALLENGE answer. */
  question: Uint8Array;
  /** What the proof must be about, and the login secret of a device. */
  challenge: LoginChallenge;
  secret: Uint8Array;
}

/**
 * Draws a challenge. The vault in it has been entered.
 *
 * @throws {RequestError} `UNKNOWN`, `FORBIDDEN`
 */
export async function beginLogin(
  hello: Hello,
  { store, pin }: { store: VaultStore; pin: Uint8Array },
): Promise<PendingLogin> {
  const { kind } = hello;
  const id = hello.id.slice();
  const vaultId = kind === LoginKind.DEVICE ? hello.vaultId : await store.db.findLocator(id);
  const vault = vaultId && await store.enter(vaultId);
  if (!vault) throw unknown(kind);
  try {
    const nonce = drawBytes(NONCE_BYTES);
    const secret = drawBytes(LOGIN_SECRET_BYTES);
    const cipher = kind === LoginKind.DEVICE
      ? await sealSecret(secret, findDeviceKey(vault.journal.state, id))
      : new Uint8Array(0);
    const question = encodeChallenge({ nonce, cipher });
    return { vault, kind, id, question, challenge: { pin, signer: id, nonce }, secret };
  } catch (error) {
    store.leave(vault);
    throw error;
  }
}

/** @throws {RequestError} `BAD_PROOF` */
export function checkProof(login: PendingLogin, payload: Uint8Array): void {
  const proof = decodeRequest(payload, (bytes) => decodeProof(bytes, login.kind));
  const isRight = login.kind === LoginKind.DEVICE
    ? checkLogin(login.secret, { challenge: login.challenge, proof })
    : isRecoveryProof(login, proof);
  if (!isRight) throw new RequestError(ErrorCode.BAD_PROOF, "Cannot log in: the proof is wrong");
}

function isRecoveryProof({ vault, id, challenge }: PendingLogin, signature: Uint8Array): boolean {
  const { recovery } = vault.journal.state.facts;
  if (recovery.id.toHex() !== id.toHex()) return false; // it was replaced meanwhile
  const verifier = importVerifier(recovery.keys.ed25519);
  return verifySignature(loginMessage(challenge), { verifier, signature });
}

function findDeviceKey(state: JournalState, id: Uint8Array): Uint8Array {
  const device = state.device(id);
  if (device === undefined) throw unknown(LoginKind.DEVICE);
  if (device.revoked) {
    throw new RequestError(ErrorCode.FORBIDDEN, "Cannot log in: the device is revoked");
  }
  return device.keys.rsa;
}

async function sealSecret(secret: Uint8Array<ArrayBuffer>, rsa: Uint8Array): Promise<Uint8Array> {
  try {
    return await encryptLoginSecret(await importRsaPublicKey(rsa), secret);
  } catch (cause) {
    if (!(cause instanceof DamagedError)) throw cause;
    // Whoever added the device gave it a key that is none.
    throw new RequestError(ErrorCode.FORBIDDEN, "Cannot log in: the device has no RSA key", cause);
  }
}

function drawBytes(size: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(size));
}

function unknown(kind: LoginKind): RequestError {
  const who = kind === LoginKind.DEVICE ? "device" : "recovery code";
  return new RequestError(ErrorCode.UNKNOWN, `Cannot log in: no vault here knows this ${who}`);
}
