/**
 * A whole backup: passes until the server has everything, then the commit that makes it a snapshot. A pass after the
 * first is needed when the server has lost something meanwhile, or has ended the session; it starts from what the pass
 * before it has found out, and reads again only what is missing.
 */
import { DamagedError } from "../errors.ts";
import { encodeCommit } from "../journal_body.ts";
import { EventKind } from "../journal.ts";
import { BACKUP, VAULT_CLIENT } from "../limits.ts";
import { printError } from "../program.ts";
import { SESSION_ID_BYTES } from "../protocol_v4.ts";
import { sealRoot } from "../vault/root.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel, tagLabel, type WriteKeys } from "../vault/secrets.ts";
import { createSession, type Session } from "../vault/session.ts";
import type { Tree } from "../vault/tree_builder.ts";
import { SessionEndedError, StaleEventError } from "./answer_error.ts";
import type { SentCount } from "./backup_job.ts";
import { runPass } from "./backup_pass.ts";
import type { BackupTally } from "./backup_tally.ts";
import { ContentSealer } from "./content_sealer.ts";
import { FileJobs } from "./file_jobs.ts";
import { JobPool } from "./job_pool.ts";
import { JobRunner } from "./job_runner.ts";
import { KeptCursor } from "./kept_cursor.ts";
import type { KeptFile } from "./kept_file.ts";
import { KeptStore } from "./kept_store.ts";
import type { Profile } from "./profile.ts";
import { RecordSender } from "./record_sender.ts";
import type { Scanned } from "./scan.ts";
import type { CommitResult } from "./session_v4.ts";
import { TreeEmitter } from "./tree_emitter.ts";
import { refreshJournal, signByDevice, type VaultAccess } from "./vault_access.ts";

export interface BackupPlan {
  /** Sorted, none in another. */
  roots: string[];
  tags: string[];
  host: string;
  /** Begins the walk, which tells the tally what it had to leave out. */
  scan: (tally: BackupTally) => Iterable<Scanned>;
}

export interface BackupResult {
  root: Uint8Array;
  tree: Tree;
  tally: BackupTally;
  sent: SentCount;
  passes: number;
}

export interface BackupOptions {
  interrupted: Promise<never>;
  workers: number;
  /** Told of the tally of each pass as it begins, and of how many entries there were last time. */
  onPass: (tally: BackupTally, expected: { entries: number; bytes: number } | undefined) => void;
}

/** What stays the same from pass to pass. */
interface Run extends BackupOptions {
  vault: VaultAccess;
  plan: BackupPlan;
  keys: WriteKeys;
  labelKey: Uint8Array;
  session: Session & { record: Uint8Array<ArrayBuffer> };
  store: KeptStore;
  sent: SentCount;
}

/** What a pass has brought about. */
interface Attempt {
  outcome: "committed" | "missing" | "ended";
  root: Uint8Array;
  tree: Tree;
  tally: BackupTally;
  /** The file with its entries, if one could be written. */
  keptPath: string | undefined;
}

export function keptStoreOf(profile: Profile, roots: string[]): KeptStore {
  const { writeSecret } = profile.keyring.epochs[0];
  return new KeptStore({
    profilePath: profile.folder.path,
    vaultId: profile.vaultId,
    writeSecret,
    setLabel: setLabel(deriveLabelKey(writeSecret), roots),
  });
}

/** @throws {DamagedError} if the server lacks something after every pass */
export async function runBackup(
  vault: VaultAccess,
  { plan, ...options }: BackupOptions & { plan: BackupPlan },
): Promise<BackupResult> {
  const { vaultId, keyring, journal } = vault.profile;
  const epoch = keyring.epochs.length;
  const { readKey } = journal.facts.epochs[epoch - 1];
  const store = keptStoreOf(vault.profile, plan.roots);
  const run: Run = {
    ...{ ...options, vault, plan, store, sent: { bytes: 0, records: 0 } },
    keys: deriveWriteKeys(keyring.epochs[epoch - 1].writeSecret),
    labelKey: deriveLabelKey(keyring.epochs[0].writeSecret),
    session: await createSession({ vaultId, epoch, readKey }),
  };
  try {
    return await runPasses(run);
  } finally {
    store.removeUnfinished();
  }
}

async function runPasses(run: Run): Promise<BackupResult> {
  const { store } = run;
  let sessionId = drawSessionId();
  let keptPath: string | undefined;
  for (let passes = 1; passes <= BACKUP.passesMax; passes++) {
    using kept = keptPath === undefined ? store.open() : store.openUnfinished(keptPath);
    const attempt = await makeAttempt(run, { sessionId, kept });
    const { outcome, root, tree, tally } = attempt;
    if (outcome === "committed") {
      if (attempt.keptPath !== undefined) store.replace(attempt.keptPath);
      return { root, tree, tally, sent: run.sent, passes };
    }
    printError(
      outcome === "ended"
        ? "note: the server has ended the session; everything is compared once more"
        : "note: the server has lost something meanwhile; what is missing is read again",
    );
    keptPath = attempt.keptPath ?? keptPath;
    if (outcome === "ended") sessionId = drawSessionId();
  }
  throw new DamagedError("Cannot commit the snapshot: the server keeps losing what it was sent", {
    hint: "its disk may be failing: `server verify` there tells more",
  });
}

/** One pass with its workers, and its commit. */
async function makeAttempt(
  run: Run,
  { sessionId, kept }: { sessionId: Uint8Array; kept: KeptFile | undefined },
): Promise<Attempt> {
  const { vault, session, keys } = run;
  const startMs = Date.now();
  await vault.session.openSession(sessionId);
  const sender = new RecordSender(vault.session);
  const sealer = new ContentSealer({ ...keys, session, sender });
  const setup = {
    ...{ connection: vault.options, sessionId, session: { id: session.id, key: session.key } },
    ...{ recordKey: keys.recordKey, chunkTable: keys.chunkTable, pathTable: keys.pathTable },
  };
  const runner = new JobRunner({ ...keys, sealer });
  const pool = new JobPool({ setup, runner, workers: run.workers });
  try {
    await sender.send(session);
    return await passAndCommit(run, { sender, pool, kept, startMs });
  } finally {
    pool.close();
    for (const { bytes, records } of [sender.sent, ...pool.sent]) {
      run.sent.bytes += bytes;
      run.sent.records += records;
    }
  }
}

async function passAndCommit(
  run: Run,
  { sender, pool, kept, startMs }: {
    sender: RecordSender;
    pool: JobPool;
    kept: KeptFile | undefined;
    startMs: number;
  },
): Promise<Attempt> {
  throw new Error(`todo ${run} ${sender} ${pool} ${kept} ${startMs}`);
}
