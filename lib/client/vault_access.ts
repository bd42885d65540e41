/**
 * What every command on a vault begins with: the profile, a login, and the journal followed up to its end. And what
 * those that change the vault do: sign a statement for the journal, again if the journal has gone on meanwhile.
 */
import { type EventKind, type JournalPoint, signStatement } from "../journal.ts";
import { VAULT_CLIENT } from "../limits.ts";
import { printError } from "../program.ts";
import { StaleEventError } from "./answer_error.ts";
import { followJournal, updateKeyring } from "./journal_sync.ts";
import { deviceLogin, type Profile, readProfile, writeJournal, writeKeyring } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { type SessionOptions, VaultClientSession } from "./session_v4.ts";

/** A vault, ready for use. `profile.journal` is up to date, `profile.keyring` too. */
export interface VaultAccess {
  profile: Profile;
  session: VaultClientSession;
  /** For further connections, also in workers. */
  options: SessionOptions;
}

/**
 * Logs in and follows the journal. What is new is kept in the profile if it may be written.
 *
 * @throws {UsageError} if there is no profile
 * @throws {JournalError} if the server shows a false history
 */
export async function openVault(folder: ProfileFolder): Promise<VaultAccess> {
  const profile = await readProfile(folder);
  const { server } = profile;
  const options = { server, login: await deviceLogin(profile) };
  const eventsAfter = profile.journal.newest.number;
  const session = await VaultClientSession.connect({ ...options, eventsAfter });
  try {
    await catchUp({ profile, session, options }, eventsAfter);
    return { profile, session, options };
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

/** Takes what has come into the journal since the login. */
export async function refreshJournal(vault: VaultAccess): Promise<void> {
  const { journal } = vault.profile;
  const before = journal.newest.number;
  for await (const event of vault.session.events(before)) journal.apply(event);
  await keep(vault, before);
}

async function catchUp(vault: VaultAccess, before: number): Promise<void> {
  const { profile, session } = vault;
  await followJournal(profile.journal, { session, vaultId: profile.vaultId });
  const { keyring, isNew } = await updateKeyring(profile, session);
  profile.keyring = keyring;
  if (isNew && profile.folder.isWritable) await writeKeyring(profile.folder, keyring);
  await keep(vault, before);
}

async function keep({ profile }: VaultAccess, before: number): Promise<void> {
  const { folder, journal } = profile;
  if (journal.newest.number === before) return;
  if (folder.isWritable) return await writeJournal(folder, journal);
  printError(`note: no permission to write in ${folder.path}: the journal's end is not kept`);
}
