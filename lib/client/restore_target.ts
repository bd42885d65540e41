/**
 * The folder that a restore writes to. Nothing is ever written outside of it: every folder on the way to an entry is
 * looked at without following links, once, before anything is put into it; a folder that is there is never taken away
 * again; and files come into their place by rename, which follows no link either.
 */
import { lchownSync, lutimesSync } from "node:fs";
import { join } from "node:path";
import { describeError, HoldfastError, RefusedError } from "../errors.ts";
import type { Entry } from "../vault/entry.ts";
import { applyMetadata, discardFile } from "./file_writer.ts";
import type { FileMetadata } from "./restore_job.ts";

export type Overwrite = "never" | "changed" | "always";

interface Owner {
  uid: number;
  gid: number;
}

/** What is to be done about an entry. */
export type Decision =
  | "write"
  /** Something is there, and is left as it is. */
  | "keep"
  /** The same is there already. */
  | "same";

/** Only who restores may look into a folder before it is complete. */
const FOLDER_MODE = 0o700;

/** Something stands in the way and is not taken away. */
export class ConflictError extends HoldfastError {
  override name = "ConflictError";
}

export class RestoreTarget {
  /** Absolute, without links. */
  readonly path: string;
  readonly overwrite: Overwrite;
  /** Bits that the system takes away from the mode of new files. */
  readonly umask: number;
  /** Whose new files are, if they can be given to others: only the system's own user may. */
  readonly #self: Owner | undefined;
  readonly #prefix = `.holdfast-${crypto.randomUUID().slice(0, 8)}`;
  #count = 0;

  private constructor(
    { path, overwrite, umask, self }: {
      path: string;
      overwrite: Overwrite;
      umask: number;
      self: Owner | undefined;
    },
  ) {
    this.path = path;
    this.overwrite = overwrite;
    this.umask = umask;
    this.#self = self;
  }

  /**
   * Makes the folder if it is not there.
   *
   * @param isDry looks only; a folder that is not there stays so
   * @throws {RefusedError} without permission to write there
   */
  static open(
    path: string,
    { overwrite, isDry }: { overwrite: Overwrite; isDry: boolean },
  ): RestoreTarget {
    if (isDry) return new RestoreTarget({ path, overwrite, umask: 0, self: undefined });
    const { state } = Deno.permissions.querySync({ name: "write", path });
    if (state !== "granted") {
      throw new RefusedError(`Cannot restore: no permission to write in ${path}`, {
        hint: `run with --allow-write=${path}`,
      });
    }
    Deno.mkdirSync(path, { recursive: true });
    const real = Deno.realPathSync(path);
    return new RestoreTarget({ path: real, overwrite, ...probe(real) });
  }

  /** Where an entry belongs. Its path is absolute and clean (`findPathFault()`). */
  place(entryPath: string): string {
    return this.path === "/" ? entryPath : this.path + entryPath;
  }

  /** A name beside that place, which nobody else has. */
  temporary(target: string): string {
    return `${target.slice(0, target.lastIndexOf("/") + 1)}${this.#prefix}-${++this.#count}.tmp`;
  }

  /**
   * Makes a folder unless it is there.
   *
   * @param isInNew the folder above it is new: most likely nothing is there, and it takes long to look for that
   * @returns whether it is new, and so empty
   * @throws {ConflictError} if something else stands there and is to stay
   */
  makeFolder(target: string, { isDry, isInNew }: { isDry: boolean; isInNew: boolean }): boolean {
    if (isInNew && (isDry || makeIfNothingIsThere(target))) return true;
    const found = lstat(target);
    if (found?.isDirectory) return false;
    if (found !== undefined) {
      if (this.overwrite === "never") throw new ConflictError("something else stands there");
      if (!isDry) Deno.removeSync(target); // a link is removed, not followed
    }
    if (!isDry) Deno.mkdirSync(target, { mode: FOLDER_MODE });
    return true;
  }

  /**
   * What is to be done about a file or a link.
   *
   * @throws {ConflictError} if a folder stands there
   */
  decide(entry: Entry, target: string): Decision {
    const found = lstat(target);
    if (found === undefined) return "write";
    if (found.isDirectory) throw new ConflictError("a folder stands there");
    if (this.overwrite === "never") return "keep";
    if (this.overwrite === "always") return "write";
    return isSame(entry, { target, found }) ? "same" : "write";
  }

  /**
   * What belongs to an entry beside its contents.
   *
   * @param isInNew its folder is new, and so gives no group of its own to what is made in it
   */
  metadataOf({ mode, mtimeMs, uid, gid }: Entry, isInNew = false): FileMetadata {
    const self = this.#self;
    if (self === undefined) return { mode, mtimeMs };
    const isOwn = isInNew && uid === self.uid && gid === self.gid;
    return isOwn ? { mode, mtimeMs } : { mode, mtimeMs, owner: { uid, gid } };
  }

  /** Gives a folder what belongs to it; when nothing is put into it any more. */
  finishFolder(entry: Entry, target: string): void {
    applyMetadata(target, this.metadataOf(entry));
  }

  /** @throws {RefusedError} without the permissions that the runtime wants for links */
  makeSymlink(entry: Entry, target: string): void {
    checkSymlinkPermission();
    const temporary = this.temporary(target);
    try {
      Deno.symlinkSync(entry.target!, temporary);
      if (this.#self !== undefined) lchownSync(temporary, entry.uid, entry.gid);
      const seconds = entry.mtimeMs / 1000;
      lutimesSync(temporary, seconds, seconds);
      Deno.renameSync(temporary, target);
    } catch (error) {
      discardFile(temporary);
      throw error;
    }
  }

  /** A further name of a file that was restored. */
  makeHardLink(existing: string, target: string): void {
    const temporary = this.temporary(target);
    Deno.linkSync(existing, temporary);
    try {
      Deno.renameSync(temporary, target);
    } finally {
      discardFile(temporary); // rename leaves it if both are one file already
    }
  }
}

/** The runtime allows links only to those who may read and write everywhere, as a link may lead anywhere. */
export function checkSymlinkPermission(): void {
  for (const name of ["read", "write"] as const) {
    if (Deno.permissions.querySync({ name }).state === "granted") continue;
    throw new RefusedError("the runtime makes symbolic links only with full permission", {
      hint:
        "run with --allow-read and --allow-write, both without a path, to restore symbolic links",
    });
  }
}

function isSame(
  { type, size, mtimeMs, target: linkTarget }: Entry,
  { target, found }: { target: string; found: Deno.FileInfo },
): boolean {
  if (type === "symlink") return found.isSymlink && Deno.readLinkSync(target) === linkTarget;
  return found.isFile && found.size === size && found.mtime?.getTime() === mtimeMs;
}

/** @returns false if there is something, perhaps because the file system takes two names for one */
function makeIfNothingIsThere(target: string): boolean {
  try {
    Deno.mkdirSync(target, { mode: FOLDER_MODE });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** What is there, not what a link leads to. */
function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Finds out by a file what cannot be asked without a further permission: who we are, and our umask. */
function probe(folder: string): { umask: number; self: Owner | undefined } {
  const path = join(folder, `.holdfast-${crypto.randomUUID().slice(0, 8)}.tmp`);
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0o777 }).close();
    const { mode, uid, gid } = Deno.lstatSync(path);
    const self = uid === 0 ? { uid, gid: gid ?? 0 } : undefined;
    return { umask: 0o777 & ~(mode ?? 0), self };
  } catch (cause) {
    throw new HoldfastError(`Cannot write in ${folder}: ${describeError(cause)}`);
  } finally {
    discardFile(path);
  }
}
