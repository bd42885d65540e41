/** One attempt at a backup: a pass with its workers, the root, and the commit. */
import { encodeCommit } from "../journal_body.ts";
import { EventKind } from "../journal.ts";
import { BACKUP, VAULT_CLIENT } from "../limits.ts";
import { printError } from "../program.ts";
import { sealRoot } from "../vault/root.ts";
import { deriveLabelKey, setLabel, tagLabel, type WriteKeys } from "../vault/secrets.ts";
import type { Session } from "../vault/session.ts";
import type { Tree } from "../vault/tree_builder.ts";
import { SessionEndedError, StaleEventError } from "./answer_error.ts";
import type { SentCount } from "./backup_job.ts";
import { runPass } from "./backup_pass.ts";
import { BackupTally } from "./backup_tally.ts";
import { ContentSealer } from "./content_sealer.ts";
import { FileJobs } from "./file_jobs.ts";
import { JobPool } from "./job_pool.ts";
import { JobRunner } from "./job_runner.ts";
import { KeptCursor } from "./kept_cursor.ts";
import type { KeptFile } from "./kept_file.ts";
import { KeptRecorder } from "./kept_recorder.ts";
import type { KeptStore } from "./kept_store.ts";
import { RecordSender } from "./record_sender.ts";
import { RecordUse } from "./record_use.ts";
import { WorkerCount } from "./spare_cores.ts";
import type { TreeWalk } from "./tree_scanner.ts";
import { TreeEmitter } from "./tree_emitter.ts";
import { Turns } from "./turns.ts";
import { refreshJournal, signByDevice, type VaultAccess } from "./vault_access.ts";

/** What is to be backed up. */
export interface BackupPlan {
  /** Sorted, none in another. */
  roots: string[];
  tags: string[];
  host: string;
  /** A walk, which tells the tally what it had to leave out. */
  scan: (tally: BackupTally) => TreeWalk;
}

export interface AttemptOptions {
  vault: VaultAccess;
  plan: BackupPlan;
  /** Of the keys and the session. */
  epoch: number;
  keys: WriteKeys;
  session: Session & { record: Uint8Array<ArrayBuffer> };
  store: KeptStore;
  /** Sum over all attempts. */
  sent: SentCount;
  interrupted: Promise<never>;
  /** Undefined: as many as have a core. */
  workers: number | undefined;
  /** Told of the tally as the pass begins, and of what the last snapshot had. */
  onPass: (tally: BackupTally, last: { entries: number; bytes: number } | undefined) => void;
}

export interface Attempt {
  /** `old keys`: an owner has changed the keys of the vault meanwhile, and nothing was committed. */
  outcome: "committed" | "missing" | "ended" | "old keys";
  /** 32 bytes; empty if the session ended before there was one. */
  root: Uint8Array;
  tally: BackupTally;
  sent: SentCount;
  /** The file with its entries, if there is a new one. */
  keptPath: string | undefined;
}

interface Tools {
  sender: RecordSender;
  pool: JobPool;
  kept: KeptCursor | undefined;
  recorder: KeptRecorder;
  tally: BackupTally;
  walk: TreeWalk;
}

export async function makeAttempt(
  options: AttemptOptions,
  { sessionId, kept }: { sessionId: Uint8Array; kept: KeptFile | undefined },
): Promise<Attempt> {
  const { vault, session, sent } = options;
  const tally = new BackupTally();
  const walk = options.plan.scan(tally);
  options.onPass(tally, kept?.head);
  await vault.session.openSession(sessionId);
  const sender = new RecordSender(vault.session);
  const pool = makePool(options, { sessionId, sender });
  try {
    await sender.send({ id: session.id, parts: [session.record] });
    const cursor = kept && await openCursor(kept, vault);
    const { isWritable } = vault.profile.folder;
    const last = cursor?.isAllThere ? kept : undefined;
    using recorder = new KeptRecorder(options.store, { isWritable, last });
    const tools = { sender, pool, kept: cursor, recorder, tally, walk };
    return { ...await attemptCommit(options, tools), tally, sent };
  } catch (error) {
    if (!(error instanceof SessionEndedError)) throw error;
    return { outcome: "ended", root: new Uint8Array(0), tally, sent, keptPath: undefined };
  } finally {
    pool.close();
    for (const { bytes, records } of [sender.sent, ...pool.sent]) {
      sent.bytes += bytes;
      sent.records += records;
    }
  }
}

async function attemptCommit(
  options: AttemptOptions,
  { sender, pool, kept, recorder, tally, walk }: Tools,
): Promise<Pick<Attempt, "outcome" | "root" | "keptPath">> {
  const { keys, plan, session, vault, interrupted } = options;
  const { startMs, batches: entries } = walk;
  const emitter = new TreeEmitter({ ...keys, session, sender, kept, recorder });
  const { emit, keep } = emitter;
  const onRead = (bytes: number) => void (tally.bytesRead += bytes);
  const jobs = new FileJobs({ ...keys, session, pool, emit, onRead });
  const use = new RecordUse({ pattern: crypto.getRandomValues(new Uint32Array(1))[0] });
  const tree = await runPass({ ...keys, entries, kept, jobs, emit, keep, tally, use, interrupted });
  const root = await sendRoot(options, { sender, tree, tally, startMs });
  await Promise.race([Promise.all([pool.drain(), sender.drain()]), interrupted]);
  const sparse = use.sparse(tree.totals.bytes * BACKUP.sparseShare);
  const { indexes } = emitter;
  const keptPath = recorder.finish({ ...tree.totals, root, startMs, indexes, sparse });
  const { epoch } = options;
  const outcome = await Promise.race([commit(vault, { root, plan, epoch }), interrupted]);
  return { outcome, root, keptPath };
}

function makePool(
  { vault, keys, session, workers }: AttemptOptions,
  { sessionId, sender }: { sessionId: Uint8Array; sender: RecordSender },
): JobPool {
  const { recordKey, chunkTable, pathTable } = keys;
  const { id, key } = session;
  const setup = {
    ...{ connection: vault.options, sessionId, session: { id, key } },
    ...{ recordKey, chunkTable, pathTable },
  };
  const sealer = new ContentSealer({ recordKey, session, sender });
  const runner = new JobRunner({ sealer, chunkTable, pathTable, turns: new Turns() });
  const count = new WorkerCount({ fixed: workers, max: BACKUP.workersMax });
  return new JobPool({ setup, runner, workers: count });
}

function openCursor(kept: KeptFile, { session }: VaultAccess): Promise<KeptCursor> {
  return KeptCursor.open(kept, {
    has: (ids) => session.has(ids),
    onDamage: () => printError("note: the kept entries are damaged; files are read again"),
  });
}

async function sendRoot(
  { plan, session, vault }: AttemptOptions,
  { sender, tree, tally, startMs }: Pick<Tools, "sender" | "tally"> & {
    tree: Tree;
    startMs: number;
  },
): Promise<Uint8Array> {
  const { top, level, totals } = tree;
  const sealed = await sealRoot(session, {
    device: vault.profile.device.id.toHex(),
    ...{ timeMs: startMs, host: plan.host, paths: plan.roots, tags: plan.tags },
    ...{ totals, skipped: tally.skippedCount, top, level },
  });
  await sender.send({ id: sealed.id, parts: [sealed.record] });
  return sealed.id;
}

/** The statement stays the same unless the journal has gone on in a way that it must know. */
async function commit(
  vault: VaultAccess,
  { root, plan, epoch }: { root: Uint8Array; plan: BackupPlan; epoch: number },
): Promise<Attempt["outcome"]> {
  const labelKey = deriveLabelKey(vault.profile.keyring.epochs[0].writeSecret);
  const body = encodeCommit({
    root,
    setLabel: setLabel(labelKey, plan.roots),
    tagLabels: plan.tags.map((tag) => tagLabel(labelKey, tag)),
  });
  for (let attempt = 0;; attempt++) {
    const statement = await signByDevice(vault.profile, { kind: EventKind.COMMIT, body });
    try {
      const answer = await vault.session.commit(statement);
      if ("missing" in answer) return "missing";
      // From now on a server that hides this snapshot is found out at the next login.
      await refreshJournal(vault);
      vault.profile.journal.checkPoint(answer.appended);
      return "committed";
    } catch (error) {
      if (error instanceof SessionEndedError) return "ended";
      if (!(error instanceof StaleEventError) || attempt === VAULT_CLIENT.staleMax) throw error;
      await refreshJournal(vault);
      if (vault.profile.journal.facts.epochs.length > epoch) return "old keys";
    }
  }
}
