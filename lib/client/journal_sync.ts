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

export const TRUST_HINT =
  "the server shows a false or an older history of the vault: ask its operator, " +
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
 * The device's keyring with all epochs that it is given, out of the slot that an owner has left for it if need be. It may
 * still end before the newest epoch: {@link hasNewestKeys} tells.
 *
 * @param accept also keys from an owner that the server's operator has brought back
 * @throws {RefusedError} if the vault does not know this device any more
 * @throws {DamagedError} if a key is not what the journal says
 */
export async function updateKeyring(
  profile: Profile,
  session: VaultClientSession,
  { accept = false }: { accept?: boolean } = {},
): Promise<{ keyring: Keyring; isNew: boolean }> {
  const { journal, device, keyring, vaultId } = profile;
  const facts = journal.device(device.id);
  if (facts === undefined || facts.revoked) {
    throw new RefusedError("Cannot use the vault: this device is revoked");
  }
  // Without the read keys, which take longer: what they open proves them.
  await checkKeyring(narrowKeyring(keyring, Role.WRITER), journal.facts);
  const slot = journal.facts.slots.get(device.id.toHex());
  const known = keyring.epochs.length;
  if (slot === undefined || slot.epoch <= known) return { keyring, isNew: false };
  if (!accept && hasDoubtfulKeys(profile)) return { keyring, isNew: false };
  const event = await readEvent(session, slot.event);
  const { sealed, epoch } = decodeSlot(event.body);
  try {
    const content = await openSlot(device, { vaultId, epoch, sealed });
    await checkKeyring(content.keyring, journal.facts);
    return { keyring: content.keyring, isNew: true };
  } catch (cause) {
    if (!(cause instanceof DamagedError)) throw cause;
    const signer = event.signer.toHex().slice(0, 12);
    throw new DamagedError(
      `Cannot trust keys: the slot of event ${event.number}, by ${signer}, holds false ones`,
      { cause, hint: "another owner can leave right ones; the server's operator has the old slot" },
    );
  }
}

/** Whether the device has the keys of the newest epoch. */
export function hasNewestKeys({ journal, keyring }: Pick<Profile, "journal" | "keyring">): boolean {
  return keyring.epochs.length >= journal.facts.epochs.length;
}

/** Whether an owner whom the operator has brought back began the newest epoch, and this device lacks its keys. */
export function hasDoubtfulKeys(
  { journal, keyring, device }: Pick<Profile, "journal" | "keyring" | "device">,
): boolean {
  // Whoever was brought back itself need not doubt itself.
  if (journal.device(device.id)?.isRestored) return false;
  // What counts is who made the keys that it would write with.
  const { epochs } = journal.facts;
  return keyring.epochs.length < epochs.length && epochs[epochs.length - 1].isRestored;
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
