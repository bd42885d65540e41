/**
 * A whole backup: attempts until the server has everything and the snapshot is committed. One after the first is needed
 * when the server has lost something meanwhile, or has ended the session; it starts from what the one before it has found
 * out, and reads again only what is missing.
 */
import { DamagedError } from "../errors.ts";
import { BACKUP } from "../limits.ts";
import { printError } from "../program.ts";
import { SESSION_ID_BYTES } from "../protocol_v4.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel } from "../vault/secrets.ts";
import { createSession } from "../vault/session.ts";
import { type Attempt, type AttemptOptions, makeAttempt } from "./backup_attempt.ts";
import { fetchKept } from "./kept_fetch.ts";
import { KeptStore } from "./kept_store.ts";
import type { Profile } from "./profile.ts";
import { type VaultAccess, waitForNewestKeys } from "./vault_access.ts";

export type BackupOptions = Pick<AttemptOptions, "plan" | "interrupted" | "workers" | "onPass">;

export interface BackupResult extends Attempt {
  passes: number;
}

/** @throws {DamagedError} if the server lacks something after every pass */
export async function runBackup(
  vault: VaultAccess,
  options: BackupOptions,
): Promise<BackupResult> {
  await Promise.race([waitForNewestKeys(vault), options.interrupted]);
  const store = keptStoreOf(vault.profile, options.plan.roots);
  try {
    return await repeatAttempts({
      ...{ ...options, vault, store, sent: { bytes: 0, records: 0 } },
      ...await prepareKeys(vault.profile),
    });
  } finally {
    store.removeUnfinished();
  }
}

/** Keys and a session of the newest epoch. */
async function prepareKeys(
  { vaultId, keyring, journal }: Profile,
): Promise<Pick<AttemptOptions, "epoch" | "keys" | "session">> {
  const epoch = keyring.epochs.length;
  const { readKey } = journal.facts.epochs[epoch - 1];
  const keys = deriveWriteKeys(keyring.epochs[epoch - 1].writeSecret);
  return { epoch, keys, session: await createSession({ vaultId, epoch, readKey }) };
}

/** Where the entries of the last snapshot of these paths are kept. */
export function keptStoreOf({ folder, vaultId, keyring }: Profile, roots: string[]): KeptStore {
  const { writeSecret } = keyring.epochs[0];
  const label = setLabel(deriveLabelKey(writeSecret), roots);
  return new KeptStore({ profilePath: folder.path, vaultId, writeSecret, setLabel: label });
}

async function repeatAttempts(first: AttemptOptions): Promise<BackupResult> {
  const { store, vault, interrupted } = first;
  let options = first;
  let sessionId = drawSessionId();
  let keptPath = await findMissing(options);
  let bytesRead = 0;
  for (let passes = 1; passes <= BACKUP.passesMax; passes++) {
    using kept = keptPath === undefined ? store.open() : store.openUnfinished(keptPath);
    const attempt = await makeAttempt(options, { sessionId, kept });
    bytesRead = attempt.tally.bytesRead += bytesRead;
    if (attempt.outcome === "committed") {
      const written = attempt.keptPath ?? keptPath;
      if (written !== undefined) store.replace(written);
      return { ...attempt, passes };
    }
    printError(`note: ${REASONS[attempt.outcome]}`);
    if (attempt.outcome === "old keys") {
      await Promise.race([waitForNewestKeys(vault), interrupted]);
      options = { ...options, ...await prepareKeys(vault.profile) };
      // What this attempt has sealed is of the epoch before: it must not be taken over.
      keptPath = await findMissing(options);
      continue;
    }
    keptPath = attempt.keptPath ?? keptPath;
    if (attempt.outcome === "ended") sessionId = drawSessionId();
  }
  throw new DamagedError("Cannot commit the snapshot: the server loses what it was sent");
}

/** Entries from the server, where the profile has none. */
async function findMissing(
  { vault, store, plan, interrupted }: AttemptOptions,
): Promise<string | undefined> {
  using kept = store.open();
  if (kept !== undefined) return undefined;
  const labelKey = deriveLabelKey(vault.profile.keyring.epochs[0].writeSecret);
  const fetching = fetchKept(vault, { store, setLabel: setLabel(labelKey, plan.roots) });
  return await Promise.race([fetching, interrupted]);
}

/** Why an attempt is repeated. */
const REASONS = {
  ended: "the server has ended the session; everything is compared once more",
  missing: "the server has lost something meanwhile; what is missing is read again",
  "old keys": "an owner has changed the vault's keys; what is new is read once more",
};

function drawSessionId(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(SESSION_ID_BYTES));
}
