/**
 * Makes a folder as a power cut may leave it: what was flushed is there; of the rest each write, and each name, is there
 * or not, whatever the order was, and a write may be there in part.
 */
import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import type { DatabaseImage } from "./database_files.ts";
import { writeTorn, writeWhole } from "./database_files.ts";
import type { DiskChange } from "./disk.ts";
import type { Random } from "./random.ts";

const SECTOR_BYTES = 512;

/** What becomes of what was not flushed. */
const FATES = ["lost", "kept", "mixed"] as const;

/**
 * @param folder a new one
 * @param changes those up to the cut
 */
export function writeCrashState(
  folder: string,
  { changes, databaseName, random }: {
    changes: readonly DiskChange[];
    databaseName: string;
    random: Random;
  },
): void {
  const flushed = findFlushed(changes);
  const fate = random.pick(FATES);
  const survives = (index: number, until = 0) =>
    index < until || fate === "kept" || (fate === "mixed" && random.below(2) === 0);
  const names = new Map<string, number>();
  const folders = new Set<string>(["."]);
  const files = new Map<number, Uint8Array>();
  let image: DatabaseImage | undefined;
  changes.forEach((change, index) => {
    switch (change.kind) {
      case "create":
        if (survives(index, flushed.folders.get(dirname(change.path)))) {
          names.set(change.path, change.file);
        }
        break;
      case "makeFolder":
        if (survives(index, flushed.folders.get(dirname(change.path)))) folders.add(change.path);
        break;
      case "remove":
        if (survives(index, flushed.folders.get(dirname(change.path)))) {
          names.delete(change.path);
          folders.delete(change.path);
        }
        break;
      case "rename":
        if (survives(index, flushed.folders.get(dirname(change.to)))) {
          names.set(change.to, change.file);
          names.delete(change.from);
        }
        break;
      case "write": {
        const isFlushed = index < (flushed.files.get(change.file) ?? 0);
        const file = files.get(change.file) ?? new Uint8Array(0);
        if (isFlushed) files.set(change.file, overwrite(file, change));
        else if (survives(index)) {
          const bytes = fate === "mixed" ? tear(change.bytes, random) : change.bytes;
          files.set(change.file, overwrite(file, { ...change, bytes }));
        }
        break;
      }
      case "truncate": {
        const file = files.get(change.file);
        if (file === undefined || !survives(index, flushed.files.get(change.file))) break;
        files.set(change.file, overwrite(file.slice(0, change.size), { offset: change.size }));
        break;
      }
      case "database":
        image = change.image;
    }
  });
  Deno.mkdirSync(folder, { mode: 0o700 });
  // A folder whose own folder is lost is lost with all that is in it.
  const isThere = (path: string): boolean =>
    path === "." || (folders.has(path) && isThere(dirname(path)));
  for (const path of [...folders].sort()) {
    if (path !== "." && isThere(path)) Deno.mkdirSync(join(folder, path), { mode: 0o700 });
  }
  for (const [path, file] of names) {
    if (!isThere(dirname(path))) continue;
    Deno.writeFileSync(join(folder, path), files.get(file) ?? new Uint8Array(0), { mode: 0o600 });
  }
  if (image === undefined) return;
  const path = join(folder, databaseName);
  if (changes.at(-1)?.kind === "database") writeTorn(path, image, random);
  else writeWhole(path, image);
}

/** For each file and folder, the number of the first change that no flush covers. */
function findFlushed(changes: readonly DiskChange[]) {
  const files = new Map<number, number>();
  const folders = new Map<string, number>();
  for (const change of changes) {
    if (change.kind === "sync") {
      files.set(change.file, Math.max(change.upTo, files.get(change.file) ?? 0));
    }
    if (change.kind === "syncFolder") {
      const path = change.path === "" ? "." : change.path;
      folders.set(path, Math.max(change.upTo, folders.get(path) ?? 0));
    }
  }
  return { files, folders };
}

function overwrite(
  file: Uint8Array,
  { offset, bytes = new Uint8Array(0) }: { offset: number; bytes?: Uint8Array },
): Uint8Array {
  const size = Math.max(file.length, offset + bytes.length);
  const result = size === file.length ? file.slice() : Buffer.alloc(size);
  if (result.length !== file.length) result.set(file);
  result.set(bytes, offset);
  return result;
}

/** A write of which some sectors came to the disk; the file's size may be the new one all the same. */
function tear(bytes: Uint8Array, random: Random): Uint8Array {
  const torn = bytes.slice();
  const kind = random.below(3);
  if (kind === 0) return torn;
  if (kind === 1) return torn.subarray(0, random.below(torn.length + 1));
  for (let at = 0; at < torn.length; at += SECTOR_BYTES) {
    if (random.below(2) === 0) torn.fill(0, at, at + SECTOR_BYTES);
  }
  return torn;
}
