/**
 * How a recovery code comes into a vault (docs/format.md, "Proof of a code"): the event that names its public keys is
 * signed by the code too, for this vault and this place in its history. So whoever has nothing but the code knows that a
 * vault is the one that it was made for; its public keys, which the server has, are not enough to found another.
 */
import { concatBytes } from "./bytes.ts";
import { fault } from "./journal_author.ts";
import {
  codeMessage,
  EventKind,
  importVerifier,
  type JournalEvent,
  SIGNATURE_BYTES,
  type Signer,
  type Statement,
  verifySignature,
} from "./journal.ts";

/** In place of a vault's id while that does not exist yet: it follows from the found event's body. */
const NO_VAULT = new Uint8Array(32);

/**
 * The body of a found or recovery event, proof at its end.
 *
 * @param statement its body without the proof
 * @param vaultId of a found event not there yet
 */
export async function proveCode(
  statement: Omit<Statement, "signature">,
  { vaultId = NO_VAULT, sign }: { vaultId?: Uint8Array; sign: Signer },
): Promise<Uint8Array<ArrayBuffer>> {
  return concatBytes(statement.body, await sign(codeMessage(statement, vaultId)));
}

/** @throws {JournalError} `code` if the code with this key has not agreed to the event */
export function checkCode(
  event: JournalEvent,
  { publicKey, vaultId }: { publicKey: Uint8Array; vaultId: Uint8Array },
): void {
  const fields = { ...event, body: event.body.subarray(0, -SIGNATURE_BYTES) };
  const message = codeMessage(fields, event.kind === EventKind.FOUND ? NO_VAULT : vaultId);
  const signature = event.body.subarray(-SIGNATURE_BYTES);
  if (!verifySignature(message, { verifier: importVerifier(publicKey), signature })) {
    throw fault("code", event, "the recovery code that it names has not signed it");
  }
}
