/**
 * One pass of a backup: the walk, merged with the kept entries, gives entries in order; contents of files that are new or
 * changed are read by jobs; the tree takes the entries when their contents are done. These run at the same time:
 *
 *     walk + kept entries -> segments in which nothing has changed
 *                         -> jobs (workers: read, cut, compress, seal, send)
 *                         -> queue of entries, in order -> tree -> segments and index records, sent from here
 */
import type { Entry } from "../vault/entry.ts";
import { type Emit, type Tree, TreeBuilder } from "../vault/tree_builder.ts";
import type { BackupTally, FileState } from "./backup_tally.ts";
import { EntryQueue, type WaitingEntry, type WaitingSegment } from "./entry_queue.ts";
import type { FileOutcome } from "./backup_job.ts";
import type { FileJobs } from "./file_jobs.ts";
import { isFresh, isSameStamp } from "./file_state.ts";
import { HEAP_GROWTH } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import type { KeptCursor, WholeSegment } from "./kept_cursor.ts";
import type { KeptSegment } from "./kept_file.ts";
import { LinkedFiles } from "./linked_files.ts";
import type { RecordUse } from "./record_use.ts";
import type { Scanned } from "./scan.ts";
import { type Decided, HELD, UnchangedSegments } from "./unchanged_segments.ts";

/** How long the walk may keep everything else from its turn. */
const TURN_MS = 50;
/** Entries between two looks at the memory. */
const ENTRIES_PER_CHECK = 1024;

export interface PassOptions {
  entries: AsyncIterable<Scanned[]>;
  kept: KeptCursor | undefined;
  jobs: FileJobs;
  emit: Emit;
  /** Takes over a segment of the last snapshot. */
  keep: (segment: KeptSegment) => void;
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
  const { entries, jobs, kept, tally } = options;
  const linked = new LinkedFiles();
  const memory = new MemoryKeeper(HEAP_GROWTH.mainBytesMax);
  let count = 0;
  let turnAt = performance.now() + TURN_MS;
  const segments = kept && new UnchangedSegments(kept);
  const take = async (decided: Decided) => {
    if ("segment" in decided) {
      if (queue.isFull || queue.isAhead) await makeRoom(options, queue);
      countUnchanged(decided.segment, tally);
      return queue.push(decided);
    }
    for (const scanned of decided.scanned) {
      if (queue.isFull || queue.isAhead) await makeRoom(options, queue);
      queue.push(await visit(scanned, options, linked));
    }
  };
  for await (const batch of entries) {
    for (const scanned of batch) {
      if (segments?.isOpen === false) await kept?.cover(scanned.entry.path);
      const decided = segments?.take(scanned) ?? { scanned: [scanned] };
      if (decided !== HELD) await take(decided);
      if (++count % ENTRIES_PER_CHECK === 0) memory.check({ growthBytesMax: growthBytesMax(jobs) });
      if (performance.now() < turnAt) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      turnAt = performance.now() + TURN_MS;
    }
  }
  if (segments !== undefined) await take(segments.end());
  tally.isScanned = true;
  await jobs.flush({ isLast: true });
  queue.end();
}

/** Waits until the tree has taken enough of what is in the queue. */
async function makeRoom({ jobs }: PassOptions, queue: EntryQueue): Promise<void> {
  if (queue.isFull) {
    await jobs.flush({ isLast: false });
    await queue.room();
  }
  if (queue.isAhead) await queue.caughtUp();
}

function countUnchanged({ entries }: WholeSegment, tally: BackupTally): void {
  for (const entry of entries) {
    if (entry.type === "dir") tally.folders++;
    if (entry.type === "file") tally.count(entry, "unchanged");
  }
}

function growthBytesMax({ haveWorkers }: FileJobs): number {
  return haveWorkers ? HEAP_GROWTH.mainBesideWorkersBytesMax : HEAP_GROWTH.mainBytesMax;
}

/** Decides whether a file has to be read, and has it read. */
async function visit(
  scanned: Scanned,
  { kept, jobs, tally }: PassOptions,
  linked: LinkedFiles,
): Promise<WaitingEntry> {
  const { entry } = scanned;
  if (entry.type === "dir") tally.folders++;
  if (entry.type !== "file") return { entry };
  const { state, before } = await compareWithKept(kept, entry);
  tally.count(entry, state);
  if (state === "unchanged" && before !== undefined && !kept?.isSparse(before)) {
    return { entry: withContents(entry, before) };
  }
  if (entry.size === 0) return { entry };
  const { path, size, mtimeMs, ctimeMs, inode } = entry;
  const isSparse = scanned.allocatedBytes < size;
  const read = () => jobs.add({ path, size, mtimeMs, ctimeMs, inode, isSparse });
  const { outcome } = entry.nlink > 1 && entry.inode > 0
    ? await linked.get(scanned, read)
    : await read();
  return { entry, outcome };
}

/** Whether a file has changed since the last snapshot, and its entry there. Paths come in order. */
export async function compareWithKept(
  kept: KeptCursor | undefined,
  entry: Entry,
): Promise<{ state: FileState; before?: Entry }> {
  if (kept === undefined) return { state: "new" };
  await kept.cover(entry.path);
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
      if ("segment" in waiting) {
        await addSegment(waiting, builder, options);
        continue;
      }
      const { entry } = waiting;
      const outcome = waiting.outcome && await queue.outcomeOf(waiting);
      const done = outcome === undefined ? entry : complete(entry, outcome, tally);
      if (done !== undefined) {
        use.add(done);
        await builder.add(done);
      }
      tally.doneEntries++;
      tally.doneBytes += entry.size;
    }
  }
}

/** Takes over a segment of the last snapshot; its entries, where the new tree is cut in another way. */
async function addSegment(
  { segment }: WaitingSegment,
  builder: TreeBuilder,
  { keep, tally, use }: PassOptions,
): Promise<void> {
  const { reference, entries } = segment;
  const totals = { entries: entries.length, files: 0, bytes: 0 };
  for (const entry of entries) {
    use.add(entry);
    if (entry.type === "file") totals.files++;
    totals.bytes += entry.size;
  }
  const item = { reference, path: entries[0].path, totals };
  if (await builder.addSegment(item, entries[entries.length - 1].path)) keep(segment);
  else for (const entry of entries) await builder.add(entry);
  tally.doneEntries += totals.entries;
  tally.doneBytes += totals.bytes;
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
