/**
 * What every command on a vault begins with: the profile, a login, and the journal followed up to its end. And what
 * those that change the vault do: sign a statement for the journal, again if the journal has gone on meanwhile.
 */
import { type EventKind, type JournalPoint, signStatement } from "../journal.ts";
import { VAULT_CLIENT } from "../limits.ts";
import { RefusedError } from "../errors.ts";
import { printError } from "../program.ts";
import { StaleEventError } from "./answer_error.ts";
import { adoptBegunEpoch } from "./begun_epoch.ts";
import { findReturned, noteReturned } from "./brought_back.ts";
import { followJournal, hasDoubtfulKeys, hasNewestKeys, updateKeyring } from "./journal_sync.ts";
import { deviceLogin, type Profile, readProfile, writeJournal } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { writeKeyring } from "./profile_secrets.ts";
import { type SessionOptions, VaultClientSession } from "./session_v4.ts";

/** A vault, ready for use. `profile.journal` is up to date, `profile.keyring` too. */
export interface VaultAccess {
  profile: Profile;
  session: VaultClientSession;
  /** For further connections, also in workers. */
  options: SessionOptions;
}

export interface OpenOptions {
  /** Takes keys also from an owner that the server's operator has brought back. */
  acceptKeys?: boolean;
}

/**
 * Logs in and follows the journal. What is new is kept in the profile if it may be written.
 *
 * @throws {UsageError} if there is no profile
 * @throws {JournalError} if the server shows a false history
 */
export async function openVault(
  folder: ProfileFolder,
  { acceptKeys = false }: OpenOptions = {},
): Promise<VaultAccess> {
  const profile = await readProfile(folder);
  const { server } = profile;
  const options = { server, login: await deviceLogin(profile) };
  const eventsAfter = profile.journal.newest.number;
  const session = await VaultClientSession.connect({ ...options, eventsAfter });
  try {
    const vault = { profile, session, options };
    const before = findReturned(profile.journal);
    await followJournal(profile.journal, { session, vaultId: profile.vaultId });
    await noteReturned(profile, before);
    await takeKeys(vault, { acceptKeys });
    await keep(vault, eventsAfter);
    return vault;
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Signs a statement by this device as the journal is now. */
export function signByDevice(
  { vaultId, device, journal }: Pick<Profile, "vaultId" | "device" | "journal">,
  { kind, body }: { kind: EventKind; body: Uint8Array },
): Promise<Uint8Array<ArrayBuffer>> {
  const statement = { kind, signer: device.id, seen: journal.newest, body };
  return signStatement(statement, { vaultId, sign: device.sign });
}

/**
 * Appends an event by this device.
 *
 * @param decide makes kind and body; asked again when the journal has gone on before the server took the event
 */
export async function appendEvent(
  vault: VaultAccess,
  decide: () => Promise<{ kind: EventKind; body: Uint8Array }>,
): Promise<JournalPoint> {
  for (let attempt = 0;; attempt++) {
    const statement = await signByDevice(vault.profile, await decide());
    try {
      const point = await vault.session.append(statement);
      await refreshJournal(vault);
      vault.profile.journal.checkPoint(point);
      return point;
    } catch (error) {
      if (!(error instanceof StaleEventError) || attempt === VAULT_CLIENT.staleMax) throw error;
      await refreshJournal(vault);
    }
  }
}

/** Appends an event after which this device is told nothing more. */
export async function appendLast(
  vault: VaultAccess,
  event: { kind: EventKind; body: Uint8Array },
): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      return void await vault.session.append(await signByDevice(vault.profile, event));
    } catch (error) {
      if (!(error instanceof StaleEventError) || attempt === VAULT_CLIENT.staleMax) throw error;
      await refreshJournal(vault);
    }
  }
}

/** Takes what has come into the journal since the login. */
export async function refreshJournal(vault: VaultAccess): Promise<void> {
  const { journal } = vault.profile;
  const before = journal.newest.number;
  for await (const event of vault.session.events(before)) journal.apply(event);
  await keep(vault, before);
}

/**
 * Takes the keys that an owner has left since; waits a while for an owner that is just changing them.
 *
 * @throws {RefusedError} if this device does not get those that are in use
 */
export async function waitForNewestKeys(vault: VaultAccess): Promise<void> {
  const { profile } = vault;
  for (const pauseMs of VAULT_CLIENT.slotMs) {
    await takeKeys(vault, {});
    if (hasNewestKeys(profile) || hasDoubtfulKeys(profile)) break;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await refreshJournal(vault);
  }
  if (hasNewestKeys(profile)) return;
  if (hasDoubtfulKeys(profile)) {
    throw new RefusedError(
      "Cannot write to the vault: an owner that the server's operator has brought back has changed its keys",
      { hint: 'ask the owners of the vault; if it is right, "client keys accept" takes them' },
    );
  }
  throw new RefusedError("Cannot write to the vault: no owner has given this device its new keys", {
    hint:
      '"client devices" on an owner\'s machine does so; "client keys rotate" by an owner that was shut out',
  });
}

async function takeKeys(vault: VaultAccess, { acceptKeys = false }: OpenOptions): Promise<void> {
  const { profile, session } = vault;
  await adoptBegunEpoch(profile);
  const { keyring, isNew } = await updateKeyring(profile, session, { accept: acceptKeys });
  profile.keyring = keyring;
  if (isNew && profile.folder.isWritable) await writeKeyring(profile.folder, profile);
}

async function keep({ profile }: VaultAccess, before: number): Promise<void> {
  const { folder, journal } = profile;
  if (journal.newest.number === before) return;
  if (folder.isWritable) return await writeJournal(folder, journal);
  printError(`note: no permission to write in ${folder.path}: the journal's end is not kept`);
}
