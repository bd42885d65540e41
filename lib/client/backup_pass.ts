/**
 * One pass of a backup: the walk, merged with the kept entries, gives entries in order; contents of files that are new or
 * changed are read by jobs; the tree takes the entries when their contents are done. These run at the same time:
 *
 *     walk + kept entries -> runs of entries in which nothing has changed
 *                         -> jobs (workers: read, cut, compress, seal, send)
 *                         -> queue of entries, in order -> tree -> segments and index records, sent from here
 */
import type { Entry } from "../vault/entry.ts";
import { type Emit, type Tree, TreeBuilder } from "../vault/tree_builder.ts";
import type { BackupTally, FileState } from "./backup_tally.ts";
import { EntryQueue, type WaitingEntry, type WaitingRun } from "./entry_queue.ts";
import type { FileOutcome } from "./backup_job.ts";
import type { FileJobs } from "./file_jobs.ts";
import { isFresh, isSameStamp } from "./file_state.ts";
import { HEAP_GROWTH } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import type { KeptCursor } from "./kept_cursor.ts";
import { LinkedFiles } from "./linked_files.ts";
import type { OpenSegment } from "./open_segment.ts";
import type { RecordUse } from "./record_use.ts";
import type { Scanned } from "./scan.ts";
import { Turns } from "./turns.ts";
import { isWholeSegment, UnchangedRuns } from "./unchanged_runs.ts";

/** Entries between two looks at the memory. */
const ENTRIES_PER_CHECK = 1024;

export interface PassOptions {
  entries: AsyncIterable<Scanned[]>;
  kept: KeptCursor | undefined;
  jobs: FileJobs;
  emit: Emit;
  /** Takes over a segment of the last snapshot. */
  keep: (segment: OpenSegment) => void;
  pathTable: Uint32Array;
  tally: BackupTally;
  use: RecordUse;
  /** Rejects when the backup is to end at once. */
  interrupted: Promise<never>;
}

/** @throws {RangeError} if there was nothing at all */
export async function runPass(options: PassOptions): Promise<Tree> {
  const queue = new EntryQueue();
  const stop = (error: unknown) => queue.fail(error);
  const walking = walk(options, queue);
  walking.catch(stop);
  const building = build(options, queue);
  building.catch(stop);
  options.interrupted.catch(stop);
  const [, tree] = await Promise.race([Promise.all([walking, building]), options.interrupted]);
  return tree;
}

async function walk(options: PassOptions, queue: EntryQueue): Promise<void> {
  const { entries, jobs, kept, tally, use } = options;
  const linked = new LinkedFiles();
  const memory = new MemoryKeeper(HEAP_GROWTH.mainBytesMax);
  let count = 0;
  const turns = new Turns();
  const runs = kept && new UnchangedRuns(kept);
  const endRun = async () => {
    const run = runs?.end();
    if (run === undefined) return;
    if (queue.isFull || queue.isAhead) await makeRoom(options, queue);
    queue.push({ run });
  };
  for await (const batch of entries) {
    for (const scanned of batch) {
      const { entry } = scanned;
      let contents = runs?.take(entry);
      if (contents === undefined && kept?.covers(entry.path) === false) {
        await endRun();
        await kept.cover(entry.path);
        contents = runs?.take(entry);
      }
      if (contents !== undefined) {
        countUnchanged(entry, tally);
        use.add(entry, contents);
      } else {
        if (runs?.isOpen) await endRun();
        const waiting = visit(scanned, options, linked);
        if (jobs.isFull) await jobs.start();
        if (queue.isFull || queue.isAhead) await makeRoom(options, queue);
        queue.push(waiting);
      }
      if (++count % ENTRIES_PER_CHECK === 0) memory.check();
      if (turns.isDue) await turns.take();
    }
  }
  await endRun();
  tally.isScanned = true;
  await jobs.flush();
  queue.end();
}

/** Waits until the tree has taken enough of what is in the queue. */
async function makeRoom({ jobs }: PassOptions, queue: EntryQueue): Promise<void> {
  if (queue.isFull) {
    await jobs.flush();
    await queue.room();
  }
  if (queue.isAhead) await queue.caughtUp();
}

function countUnchanged(entry: Entry, tally: BackupTally): void {
  if (entry.type === "dir") tally.folders++;
  if (entry.type === "file") tally.count(entry, "unchanged");
}

/** Decides whether a file has to be read, and has it read. */
function visit(
  scanned: Scanned,
  { kept, jobs, tally }: PassOptions,
  linked: LinkedFiles,
): WaitingEntry {
  const { entry } = scanned;
  if (entry.type === "dir") tally.folders++;
  if (entry.type !== "file") return { entry };
  const { state, before } = compareWithKept(kept, entry);
  tally.count(entry, state);
  if (state === "unchanged" && before !== undefined && !kept?.isSparse(before)) {
    return { entry: withContents(entry, before) };
  }
  if (entry.size === 0) return { entry };
  const reading = entry.nlink > 1 && entry.inode > 0
    ? linked.get(scanned, () => jobs.add(scanned))
    : jobs.add(scanned);
  return { entry, reading };
}

/** Whether a file has changed since the last snapshot, and its entry there. Paths come in order, and the cursor covers them. */
export function compareWithKept(
  kept: KeptCursor | undefined,
  entry: Entry,
): { state: FileState; before?: Entry } {
  if (kept === undefined) return { state: "new" };
  const before = kept.find(entry.path);
  if (before === undefined) return { state: "new" };
  const isUnchanged = before.type === "file" && isSameStamp(entry, before) &&
    !isFresh(before.mtimeMs, kept.startMs);
  return { state: isUnchanged ? "unchanged" : "changed", before };
}

function withContents(entry: Entry, { extents, lists }: Pick<Entry, "extents" | "lists">): Entry {
  if (lists !== undefined) return { ...entry, lists };
  return extents === undefined ? entry : { ...entry, extents };
}

async function build(options: PassOptions, queue: EntryQueue): Promise<Tree> {
  const { emit, pathTable, tally, use } = options;
  const builder = new TreeBuilder({ pathTable, emit });
  for (;;) {
    const batch = await queue.take();
    if (batch.length === 0) return await builder.finish();
    for (const waiting of batch) {
      if ("run" in waiting) {
        await addRun(waiting, builder, options);
        continue;
      }
      const { entry, reading } = waiting;
      if (reading?.job.isDone === false) await queue.until(reading.job);
      const outcome = reading?.job.at(reading.number);
      const done = outcome === undefined ? entry : complete(entry, outcome, tally);
      if (done !== undefined) {
        use.add(done);
        const closing = builder.add(done);
        if (closing !== undefined) await closing;
      }
      tally.doneEntries++;
      tally.doneBytes += entry.size;
    }
  }
}

/** Takes over a segment of the last snapshot, or lines of it. */
async function addRun(
  { run }: WaitingRun,
  builder: TreeBuilder,
  { keep, tally }: PassOptions,
): Promise<void> {
  const { segment, from, to, files, bytes } = run;
  const { kept, firstPath, lastPath, references } = segment;
  const totals = { entries: to - from, files, bytes };
  const item = { reference: kept.reference, path: firstPath, totals };
  if (isWholeSegment(run) && await builder.addSegment(item, lastPath)) keep(segment);
  else await builder.addLines(segment.known(from, to), references);
  tally.doneEntries += to - from;
  tally.doneBytes += bytes;
}

/** The entry with what was read; undefined if nothing was. */
function complete(entry: Entry, outcome: FileOutcome, tally: BackupTally): Entry | undefined {
  const { contents, state, isTorn, fault } = outcome;
  if (contents === undefined) {
    tally.skip(entry.path, fault ?? "it was not read");
    return undefined;
  }
  if (isTorn) tally.skip(entry.path, "it changed while it was read; what was read is kept");
  return withContents({ ...entry, ...state, size: contents.size }, contents);
}
