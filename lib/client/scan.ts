/**
 * Walks what is to be backed up, in the order of entries (docs/format.md, "Order"). Synchronous, which
 * is several times faster here. Holds the names of the folders that it is in, and nothing else.
 */
import type { Entry } from "../vault/entry.ts";
import { comparePaths, findPathFault, folderOf, isWithin } from "../vault/path_order.ts";
import type { Exclude } from "./exclude.ts";
import { describeFileError, stateEntry } from "./file_state.ts";

/** What the walk found at a path. */
export interface Scanned {
  /** Without contents. */
  entry: Entry;
  /** Number of the file system; with the inode it names a file. */
  device: number;
  /** Of a file: bytes that the file system has for it. Less than its size where it has holes. */
  allocatedBytes: number;
}

/** What is there and no folder, and was not looked at. */
export interface Left {
  path: string;
}

export interface ScanOptions {
  exclude: Exclude;
  /** Do not go into folders on other file systems than that of the backup's path. */
  isOneFileSystem: boolean;
  /** The profile's folder, by device and inode: it is left out whatever happens. */
  ownFolder: FolderIdentity | undefined;
  /** Told of everything that is not in the backup though nobody asked to leave it out. */
  onSkip: (path: string, reason: string) => void;
  /** Whether the next one that is no folder is to be left to who takes it; see {@link lookAtLeft}. */
  leaves?: () => boolean;
}

/** A folder, whatever path leads to it. */
export interface FolderIdentity {
  device: number;
  inode: number;
}

/** A path of the backup while the walk is in it. */
interface Walk extends ScanOptions {
  root: string;
  rootDevice: number;
}

/** A folder while the walk is in it. */
interface OpenFolder {
  /** Its path and a slash. */
  prefix: string;
  /** That are still to come. */
  names: ArrayIterator<string>;
  /** Those that are folders. */
  folders: Set<string>;
}

/** The paths of a backup in order, without those that lie in others. They are absolute and clean. */
export function sortRoots(paths: string[]): string[] {
  const roots: string[] = [];
  for (const path of [...paths].sort(comparePaths)) {
    const last = roots.at(-1);
    if (last === undefined || !isWithin(path, last)) roots.push(path);
  }
  return roots;
}

/** Entries of the roots (see {@link sortRoots}), of all in them, and of the folders that they lie in. */
export function* scanTree(roots: string[], options: ScanOptions): Generator<Scanned | Left> {
  let previous: string | undefined;
  for (const root of roots) {
    yield* scanParents(root, { previous, options });
    previous = root;
    const scanned = look(root, options);
    if (scanned === undefined) continue;
    yield scanned;
    if (scanned.entry.type !== "dir") continue;
    yield* scanFolder(root, { ...options, root, rootDevice: scanned.device });
  }
}

/** Folders that a root lies in, and that are not yet there for the root before it. */
function* scanParents(
  root: string,
  { previous, options }: { previous: string | undefined; options: ScanOptions },
): Generator<Scanned> {
  const parents: string[] = [];
  for (let path = root; path !== "/";) parents.unshift(path = folderOf(path));
  for (const path of parents) {
    if (previous !== undefined && isWithin(previous, path)) continue;
    // A link on the way to a root is shown as the folder that it leads to.
    const scanned = look(path, { ...options, stat: Deno.statSync });
    if (scanned !== undefined) yield scanned;
  }
}

/** What is in a folder. One generator for all levels: with one in the other each entry would pass through all of them. */
function* scanFolder(folder: string, walk: Walk): Generator<Scanned | Left> {
  const open = [openFolder(folder, walk)];
  while (open.length > 0) {
    const { prefix, names, folders } = open[open.length - 1];
    const name = names.next().value;
    if (name === undefined) {
      open.pop();
      continue;
    }
    const path = prefix + name;
    const isFolder = folders.has(name);
    if (isExcluded({ path, isFolder }, { name, walk })) continue;
    if (!isFolder && walk.leaves?.()) {
      yield { path };
      continue;
    }
    const scanned = look(path, walk);
    if (scanned === undefined || isOwn(scanned, walk)) continue;
    yield scanned;
    if (scanned.entry.type !== "dir") continue;
    if (walk.isOneFileSystem && scanned.device !== walk.rootDevice) continue;
    open.push(openFolder(path, walk));
  }
}

function openFolder(path: string, walk: Walk): OpenFolder {
  const { names, folders } = readNames(path, walk);
  return { prefix: path === "/" ? "/" : `${path}/`, names: names.values(), folders };
}

function isOwn({ entry, device }: Scanned, { ownFolder }: ScanOptions): boolean {
  return entry.type === "dir" && ownFolder !== undefined &&
    entry.inode === ownFolder.inode && device === ownFolder.device;
}

function isExcluded(
  { path, isFolder }: { path: string; isFolder: boolean },
  { name, walk }: { name: string; walk: Walk },
): boolean {
  const relativePath = path.slice(walk.root === "/" ? 1 : walk.root.length + 1);
  return walk.exclude({ path, relativePath, name, isFolder });
}

/** Names in a folder, in order, and which of them are folders. */
function readNames(
  folder: string,
  { onSkip }: ScanOptions,
): { names: string[]; folders: Set<string> } {
  const names: string[] = [];
  const folders = new Set<string>();
  try {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      names.push(name);
      if (isDirectory) folders.add(name);
    }
  } catch (error) {
    onSkip(folder, `its contents cannot be read: ${describeFileError(error)}`);
  }
  // The built-in order is that of UTF-16, which is another one only where there are surrogates.
  if (names.some((name) => /[\ud800-\uffff]/.test(name))) names.sort(comparePaths);
  else names.sort();
  return { names, folders };
}

/** Looks at what the walk has left. Undefined if there is nothing that can be backed up. */
export function lookAtLeft(
  path: string,
  { onSkip }: Pick<ScanOptions, "onSkip">,
): Scanned | undefined {
  const scanned = look(path, { onSkip });
  if (scanned?.entry.type !== "dir") return scanned;
  onSkip(path, "it has become a folder meanwhile"); // in which nobody has looked
  return undefined;
}

function look(
  path: string,
  { onSkip, stat = Deno.lstatSync }: Pick<ScanOptions, "onSkip"> & {
    stat?: (path: string) => Deno.FileInfo;
  },
): Scanned | undefined {
  try {
    const info = stat(path);
    const type = info.isFile
      ? "file"
      : info.isDirectory
      ? "dir"
      : info.isSymlink
      ? "symlink"
      : undefined;
    const fault = findPathFault(path) ?? (type === undefined ? describeKind(info) : undefined);
    if (fault !== undefined || type === undefined) {
      onSkip(path, fault ?? "");
      return undefined;
    }
    const entry: Entry = { path, type, ...stateEntry(info) };
    if (type === "symlink") entry.target = Deno.readLinkSync(path);
    return { entry, device: info.dev, allocatedBytes: (info.blocks ?? Infinity) * 512 };
  } catch (error) {
    // The runtime gives a name that is not UTF-8 with replacement characters, and then finds nothing.
    const isForeign = error instanceof Deno.errors.NotFound && path.includes("\ufffd");
    onSkip(path, isForeign ? "its name is not UTF-8" : describeFileError(error));
    return undefined;
  }
}

function describeKind(info: Deno.FileInfo): string {
  if (info.isSocket) return "it is a socket";
  if (info.isFifo) return "it is a pipe";
  return info.isBlockDevice || info.isCharDevice ? "it is a device" : "it is of an unknown kind";
}
