/**
 * Restores entries of a snapshot, in their order (docs/restore.md):
 *
 *     walk (main thread)   opens segments; makes folders and links; decides about files; collects them into jobs
 *     jobs (workers)       get records, open them, write files; each worker has its own connection, two jobs at a time
 *     after jobs           hard links, and what belongs to folders, once all jobs before them are done
 *
 * What waits in memory is bounded by the jobs under way, however large the snapshot.
 */
import { DamagedError, describeError, HoldfastError, RefusedError } from "../errors.ts";
import { HEAP_GROWTH, RESTORE } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import type { Entry, Extent } from "../vault/entry.ts";
import { comparePaths, isWithin } from "../vault/path_order.ts";
import type { Root } from "../vault/root.ts";
import type { Reference } from "../vault/session.ts";
import { findEntry, type Load, readExtents } from "../vault/tree_reader.ts";
import { AfterJobs } from "./after_jobs.ts";
import { createFile, discardFile, isDiskFull, placeFile } from "./file_writer.ts";
import { HardLinks } from "./hard_links.ts";
import { JobBuilder } from "./job_builder.ts";
import type { JobFile, JobResult, RestoreJob } from "./restore_job.ts";
import type { RestoreLanes } from "./restore_lanes.ts";
import { type Decision, RestoreTarget } from "./restore_target.ts";
import { TreeCursor } from "./tree_cursor.ts";

export interface EntryFailure {
  kind: "damaged" | "failed" | "metadata";
  message: string;
  /** What can be done about it. */
  hint?: string;
  /** Of one that is told as done as well: that it failed came out later. */
  isCounted?: boolean;
}

/** Told of what happens, as it happens. */
export interface RestoreObserver {
  /** An entry that is not as it was, or not there. `metadata`: only mode, owner or time are wrong. */
  failed(path: string, failure: EntryFailure): void;
  /** What was, or with a dry run would be, done. */
  done(entry: Entry, decision: Decision): void;
  progress(bytes: number): void;
}

export interface RestorerOptions {
  target: RestoreTarget;
  load: Load;
  /** The key of the record that a reference names. */
  unmask: (reference: Reference) => Promise<Uint8Array>;
  /** Undefined: a dry run. */
  makeLanes: ((onResult: (job: RestoreJob, result: JobResult) => void) => RestoreLanes) | undefined;
  verify: boolean;
  observer: RestoreObserver;
}

interface OpenFolder {
  path: string;
  target: string;
  /** Not there if the segment with it was lost. */
  entry: Entry | undefined;
  /** Made by this run, so nothing can be in it that we did not put there. */
  isNew: boolean;
}

/** A file that several jobs write. */
interface SharedFile {
  file: Omit<JobFile, "pieces">;
  hasFailed: boolean;
}

export class Restorer {
  readonly #options: RestorerOptions;
  readonly #target: RestoreTarget;
  readonly #builder: JobBuilder;
  readonly #lanes: RestoreLanes | undefined;
  readonly #folders: OpenFolder[] = [];
  readonly #afterJobs = new AfterJobs();
  readonly #shared = new Map<string, SharedFile>();
  readonly #hardLinks = new HardLinks();
  readonly #memory = new MemoryKeeper(HEAP_GROWTH.restoreBytesMax);
  #entriesSinceJob = 0;
  /** Of what comes behind an entry that is no folder, nothing can be in it. */
  #lastNonFolder: string | undefined;

  constructor(options: RestorerOptions) {
    this.#options = options;
    const { target, verify } = options;
    this.#target = target;
    this.#builder = new JobBuilder({ verify, umask: target.umask });
    this.#lanes = options.makeLanes?.((job, result) => this.#takeResult(job, result));
  }

  /**
   * Restores these paths and all that is in them.
   *
   * @param paths in order, none within another; each is in the snapshot
   * @throws what makes it senseless to go on: the server is gone, the disk is full
   */
  async restore(root: Root, paths: string[]): Promise<void> {
    for (const path of paths) {
      await this.#enterParents(root, path);
      await this.#restorePath(root, path);
    }
    this.#leaveFolders("");
    await this.#submit();
    await this.#lanes?.finish();
  }

  /** Leaves off, and takes away what is not complete. */
  async abort(): Promise<void> {
    if (this.#lanes === undefined) return;
    const { unfinished } = this.#lanes; // being stopped, they fail
    await this.#lanes.stop();
    for (const { files } of [...unfinished, ...this.#lanes.unfinished]) {
      for (const { temporary, isPart } of files) if (!isPart) discardFile(temporary);
    }
    for (const { file } of this.#shared.values()) discardFile(file.temporary);
  }

  /** Enters the folders above a path, as they are in the snapshot. */
  async #enterParents(root: Root, path: string): Promise<void> {
    const names = path.split("/").slice(1, -1);
    let parent = "";
    for (const name of names) {
      parent += `/${name}`;
      if (this.#folders.some((folder) => folder.path === parent)) continue;
      let entry: Entry | undefined;
      try {
        entry = await findEntry(root, { load: this.#options.load, path: parent });
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
      }
      if (entry?.type === "dir") this.#enterFolder(entry);
    }
  }

  async #restorePath(root: Root, path: string): Promise<void> {
    const cursor = new TreeCursor(root, this.#options.load);
    await this.#seek(cursor, path);
    for (;;) {
      const next = cursor.peek();
      if (next === undefined) return;
      if (next.kind === "node") {
        const isBehind = next.path !== "" && comparePaths(next.path, path) > 0;
        if (isBehind && !isWithin(next.path, path)) return;
        await this.#open(cursor);
        continue;
      }
      if (!isWithin(next.path, path)) return;
      cursor.pass();
      await this.#restoreEntry(next.entry, cursor);
    }
  }

  async #seek(cursor: TreeCursor, path: string): Promise<void> {
    for (;;) {
      try {
        return await cursor.seek(path);
      } catch (error) {
        this.#lose(cursor, error);
      }
    }
  }

  async #open(cursor: TreeCursor): Promise<void> {
    try {
      await cursor.open();
    } catch (error) {
      this.#lose(cursor, error);
    }
  }

  /** A record of entries is lost: which ones, cannot be known; the others can be restored. */
  #lose(cursor: TreeCursor, error: unknown): void {
    if (!(error instanceof DamagedError)) throw error;
    const first = cursor.peek()?.path || "/";
    const end = cursor.following();
    const where = end === undefined ? "all entries from here on" : `all entries up to ${end}`;
    this.#options.observer.failed(first, {
      kind: "damaged",
      message: `${where} are lost: ${describeError(error)}`,
    });
    cursor.pass();
  }

  async #restoreEntry(entry: Entry, cursor: TreeCursor): Promise<void> {
    const { path } = entry;
    this.#entriesSinceJob++;
    if (this.#lastNonFolder !== undefined && isWithin(path, this.#lastNonFolder)) {
      return this.#fail(path, new DamagedError("it lies in something that is no folder"));
    }
    try {
      this.#leaveFolders(path);
      this.#makeParents(path);
      if (entry.type === "dir") return this.#enterFolder(entry);
      this.#lastNonFolder = path;
      if (entry.type === "symlink") this.#restoreSymlink(entry);
      else await this.#restoreFile(entry);
    } catch (error) {
      if (!isOfOneEntry(error)) throw error;
      this.#fail(path, error);
      if (entry.type === "dir") await this.#passFolder(cursor, path);
    }
    if (this.#entriesSinceJob >= RESTORE.jobEntriesMax) await this.#submit();
  }

  async #passFolder(cursor: TreeCursor, path: string): Promise<void> {
    for (;;) {
      try {
        return await cursor.passFolder(path);
      } catch (error) {
        this.#lose(cursor, error);
      }
    }
  }

  #enterFolder(entry: Entry): void {
    this.#lastNonFolder = undefined;
    const { path } = entry;
    if (path === "/") return; // the folder that is restored to is its user's
    const target = this.#target.place(path);
    this.#folders.push({ path, target, entry, isNew: this.#makeFolder(target) });
    this.#options.observer.done(entry, "write");
  }

  /** Folders whose entries were lost, or are not in the snapshot. */
  #makeParents(path: string): void {
    let parent = this.#folders.at(-1)?.path ?? "";
    const end = path.lastIndexOf("/");
    while (parent.length < end) {
      const slash = path.indexOf("/", parent.length + 1);
      parent = path.slice(0, slash);
      const target = this.#target.place(parent);
      const isNew = this.#makeFolder(target);
      this.#folders.push({ path: parent, target, entry: undefined, isNew });
    }
  }

  #makeFolder(target: string): boolean {
    const isInNew = this.#folders.at(-1)?.isNew === true;
    return this.#target.makeFolder(target, { isDry: this.#lanes === undefined, isInNew });
  }

  /** Leaves the folders that a path is not in. What belongs to them they get when nothing comes any more. */
  #leaveFolders(path: string): void {
    while (this.#folders.length > 0) {
      const { path: folder, target, entry, isNew } = this.#folders.at(-1)!;
      if (path !== "" && isWithin(path, folder)) return;
      this.#folders.pop();
      if (entry === undefined || this.#lanes === undefined) continue;
      if (!isNew && this.#target.overwrite === "never") continue;
      this.#doLater(() => {
        try {
          this.#target.finishFolder(entry, target);
        } catch (error) {
          this.#failMetadata(folder, error);
        }
      });
    }
  }

  #restoreSymlink(entry: Entry): void {
    const target = this.#target.place(entry.path);
    const decision = this.#decide(entry, target);
    if (decision === "write" && this.#lanes !== undefined) this.#target.makeSymlink(entry, target);
    this.#options.observer.done(entry, decision);
  }

  async #restoreFile(entry: Entry): Promise<void> {
    const target = this.#target.place(entry.path);
    const decision = this.#decide(entry, target);
    const first = this.#hardLinks.find(entry);
    if (decision !== "keep") this.#hardLinks.add(entry, target);
    if (decision === "write" && this.#lanes !== undefined) {
      if (first !== undefined) this.#linkLater(entry, { first, target });
      else await this.#writeFile(entry, target);
    }
    this.#options.observer.done(entry, decision);
  }

  async #writeFile(entry: Entry, target: string): Promise<void> {
    const isInNew = this.#folders.at(-1)?.isNew === true;
    const file = {
      ...{ path: entry.path, target, temporary: this.#target.temporary(target) },
      ...{ size: entry.size, metadata: this.#target.metadataOf(entry, isInNew), isPart: false },
    };
    const isLarge = entry.lists !== undefined || entry.size > RESTORE.wholeFileBytesMax &&
        (entry.extents?.length ?? 0) > 1;
    if (isLarge) return await this.#restoreLargeFile(entry, file);
    const extents = entry.extents ?? [];
    if (this.#builder.isFullFor(extents[0]?.reference)) await this.#submit();
    this.#builder.add({ file, extents, at: 0, keys: await this.#unmaskAll(extents) });
  }

  /** Several jobs write it, at the same time; the last thing is to give it its name. */
  async #restoreLargeFile(entry: Entry, file: Omit<JobFile, "pieces">): Promise<void> {
    const part = { ...file, isPart: true };
    const shared: SharedFile = { file: part, hasFailed: false };
    this.#shared.set(file.path, shared);
    createFile(part);
    try {
      let at = 0;
      for await (const extents of groupExtents(readExtents(entry, this.#options.load))) {
        if (!this.#builder.isEmpty) await this.#submit();
        if (shared.hasFailed) break;
        this.#builder.add({ file: part, extents, at, keys: await this.#unmaskAll(extents) });
        at += extents.reduce((sum, { length }) => sum + length, 0);
      }
    } catch (error) {
      if (!isOfOneEntry(error)) throw error;
      shared.hasFailed = true;
      this.#fail(file.path, error, true);
    }
    this.#doLater(() => this.#finishShared(shared));
  }

  #finishShared({ file, hasFailed }: SharedFile): void {
    this.#shared.delete(file.path);
    try {
      if (hasFailed) discardFile(file.temporary);
      else placeFile(file);
    } catch (error) {
      this.#fail(file.path, error, !hasFailed); // whose failure was counted when it was told
    }
  }

  #linkLater({ path }: Entry, { first, target }: { first: string; target: string }): void {
    this.#doLater(() => {
      try {
        this.#target.makeHardLink(first, target);
      } catch (error) {
        const isThere = !(error instanceof Deno.errors.NotFound);
        const reason = new HoldfastError("the file of which it is another name was not restored");
        this.#fail(path, isThere ? error : reason, true);
      }
    });
  }

  #decide(entry: Entry, target: string): Decision {
    if (this.#folders.at(-1)?.isNew) return "write";
    return this.#target.decide(entry, target);
  }

  async #unmaskAll(extents: Extent[]): Promise<Uint8Array[]> {
    const keys: Uint8Array[] = [];
    for (const { reference } of extents) {
      if (reference !== undefined) keys.push(await this.#options.unmask(reference));
    }
    return keys;
  }

  async #submit(): Promise<void> {
    this.#entriesSinceJob = 0;
    this.#memory.check();
    if (this.#lanes !== undefined && !this.#builder.isEmpty) {
      await this.#lanes.submit(this.#builder.take());
    }
  }

  #takeResult({ number, files }: RestoreJob, { failures, bytes }: JobResult): void {
    for (const { file: index, kind, message } of failures) {
      const { path, isPart } = files[index];
      const shared = isPart ? this.#shared.get(path) : undefined;
      if (shared?.hasFailed) continue; // another part was told of already
      if (shared !== undefined) shared.hasFailed = true;
      this.#options.observer.failed(path, { kind, message, isCounted: true });
    }
    this.#options.observer.progress(bytes);
    this.#afterJobs.jobDone(number);
  }

  /** Does something when the job that is being collected, and all before it, are done. */
  #doLater(act: () => void): void {
    const { number, isEmpty } = this.#builder;
    this.#afterJobs.add(isEmpty ? number - 1 : number, act);
  }

  #fail(path: string, error: unknown, isCounted = false): void {
    const kind = error instanceof DamagedError ? "damaged" : "failed";
    const hint = error instanceof HoldfastError ? error.hint : undefined;
    const failure = { kind, message: describeError(error), isCounted } as const;
    this.#options.observer.failed(path, hint === undefined ? failure : { ...failure, hint });
  }

  #failMetadata(path: string, error: unknown): void {
    this.#options.observer.failed(path, { kind: "metadata", message: describeError(error) });
  }
}

/** Extents of one job at a time. */
async function* groupExtents(extents: AsyncIterable<Extent>): AsyncGenerator<Extent[]> {
  let group: Extent[] = [];
  let [bytes, records] = [0, 0];
  for await (const extent of extents) {
    group.push(extent);
    if (extent.reference !== undefined) {
      bytes += extent.length;
      records++;
    }
    const isFull = bytes >= RESTORE.jobBytesMax || records >= RESTORE.jobRecordsMax ||
      group.length >= RESTORE.jobEntriesMax;
    if (!isFull) continue;
    yield group;
    group = [];
    [bytes, records] = [0, 0];
  }
  if (group.length > 0) yield group;
}

/** Whether an error is about one entry, and the others can go on. */
function isOfOneEntry(error: unknown): error is Error {
  if (isDiskFull(error)) return false;
  if (error instanceof HoldfastError) {
    return error instanceof DamagedError || error instanceof RefusedError ||
      error.name === "ConflictError";
  }
  return error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError);
}
