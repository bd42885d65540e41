/**
 * Follows a vault's journal (docs/format.md, "Journal"): takes what is new from the server, believes none of it before
 * its chain, signatures and roles are checked, and compares it with what this device has seen before.
 */
import { equalBytes } from "../bytes.ts";
import { DamagedError, RefusedError } from "../errors.ts";
import { Role } from "../identity.ts";
import { decodeSlot } from "../journal_body.ts";
import { decodeEvent, JournalError, type JournalPoint } from "../journal.ts";
import type { JournalState } from "../journal_state.ts";
import { checkKeyring, type Keyring, narrowKeyring, openSlot } from "../vault/keyring.ts";
import type { Profile } from "./profile.ts";
import type { VaultClientSession } from "./session_v4.ts";

const TRUST_HINT = "the server shows a false or an older history of the vault: ask its operator, " +
  "and compare with your other devices before you go on";

/**
 * Brings the state up to the newest event of the server.
 *
 * @throws {JournalError} that says what is wrong and at which event; the state is then as far as it is right
 */
export async function followJournal(
  journal: JournalState,
  { session, vaultId }: { session: VaultClientSession; vaultId: Uint8Array },
): Promise<void> {
  const { headNumber: number, headHash: hash } = session.welcome;
  try {
    checkHead(journal, { number, hash });
    for await (const event of session.events(journal.newest.number)) journal.apply(event);
    journal.checkPoint({ number, hash });
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    throw new JournalError(error.fault, error.message, { hint: TRUST_HINT, cause: error.cause });
  }
  if (!equalBytes(journal.facts.vaultId, vaultId)) {
    throw new DamagedError("Cannot trust journal: it is of another vault", { hint: TRUST_HINT });
  }
}

/**
 * The device's keyring up to the newest epoch, out of the slot that an owner has left for it if need be.
 *
 * @throws {RefusedError} if the vault does not know this device any more
 * @throws {DamagedError} if a key is not what the journal says
 */
export async function updateKeyring(
  profile: Profile,
  session: VaultClientSession,
): Promise<{ keyring: Keyring; isNew: boolean }> {
  const { journal, device, keyring } = profile;
  const facts = journal.device(device.id);
  if (facts === undefined || facts.revoked) {
    throw new RefusedError("Cannot use the vault: this device is revoked");
  }
  // Without the read keys, which take longer: what they open proves them.
  await checkKeyring(narrowKeyring(keyring, Role.WRITER), journal.facts);
  if (keyring.epochs.length >= journal.facts.epochs.length) return { keyring, isNew: false };
  const slot = journal.facts.slots.get(device.id.toHex());
  if (slot === undefined || slot.epoch <= keyring.epochs.length) {
    throw new RefusedError("Cannot use the vault: no owner has given this device its new keys", {
      hint: "an owner does so by any command that writes to the vault's journal",
    });
  }
  const { sealed, epoch } = decodeSlot((await readEvent(session, slot.event)).body);
  const content = await openSlot(device, { vaultId: profile.vaultId, epoch, sealed });
  await checkKeyring(content.keyring, journal.facts);
  return { keyring: content.keyring, isNew: true };
}

/** An event of which the hash is known. */
export async function readEvent(
  session: VaultClientSession,
  point: JournalPoint,
): Promise<ReturnType<typeof decodeEvent>> {
  for await (const bytes of session.events(point.number - 1)) {
    const event = decodeEvent(bytes);
    if (equalBytes(event.hash, point.hash)) return event;
    break;
  }
  throw new JournalError(
    "chain",
    `Cannot trust journal: event ${point.number} is another one now`,
    {
      hint: TRUST_HINT,
    },
  );
}

/** What the server says its newest event is, against the newest that this device has seen. */
function checkHead(journal: JournalState, head: JournalPoint): void {
  const known = journal.newest;
  if (head.number < known.number) {
    const state = `event ${known.number} was seen before, but it ends at event ${head.number}`;
    throw new JournalError("cut", `Cannot trust journal: ${state}`);
  }
  if (!journal.isEmpty && head.number === known.number) journal.checkPoint(head);
}
