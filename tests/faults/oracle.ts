/** Keeps what each acknowledged snapshot must restore to: names, kinds, bytes, modes and times. */
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import type { Random } from "./random.ts";

/** What is at each path below the source, as one line of text each. */
export type Manifest = ReadonlyMap<string, string>;

interface Kept {
  manifest: Manifest;
  /** When it may be gone, by the server's clock; Infinity: never. */
  heldUntilMs: number;
}

/** What an oracle knew at some time. */
export type OracleState = ReadonlyMap<string, Kept>;

const FILE_BYTES_MAX = 40_000;
const FOLDERS = 3;
const FILES = 6;

export class Oracle {
  readonly #source: string;
  readonly #random: Random;
  #kept = new Map<string, Kept>();

  constructor(source: string, random: Random) {
    this.#source = source;
    this.#random = random;
  }

  /** Changes some files, folders and links. Some bytes come again, as they do in life. */
  change(): void {
    const random = this.#random;
    for (let i = 0; i < 4; i++) {
      const folder = join(this.#source, `folder${random.below(FOLDERS)}`);
      Deno.mkdirSync(folder, { recursive: true });
      Deno.chmodSync(folder, random.pick([0o700, 0o755]));
      const path = join(folder, `file${random.below(FILES)}`);
      const kind = random.below(6);
      if (kind < 2) removeIfThere(path);
      if (kind === 0) continue;
      if (kind === 1) {
        Deno.symlinkSync(`file${random.below(FILES)}`, path);
        continue;
      }
      if (kindOf(path) === "link") removeIfThere(path);
      const size = random.below(FILE_BYTES_MAX);
      const bytes = random.below(3) === 0 ? new Uint8Array(size).fill(7) : random.bytes(size);
      Deno.writeFileSync(path, bytes);
      Deno.chmodSync(path, random.pick([0o600, 0o644, 0o755]));
    }
  }

  /** What the source is now. */
  look(): Manifest {
    return manifestOf(this.#source);
  }

  /** The server has acknowledged a snapshot of it. */
  keep(snapshot: string, manifest: Manifest): void {
    this.#kept.set(snapshot, { manifest, heldUntilMs: Infinity });
  }

  /** Somebody has begun to forget it: it may go when its hold has passed. */
  forget(snapshot: string, heldUntilMs: number): void {
    const kept = this.#kept.get(snapshot)!;
    this.#kept.set(snapshot, { ...kept, heldUntilMs: Math.min(kept.heldUntilMs, heldUntilMs) });
  }

  /** Snapshots that nobody has begun to forget. */
  get inForce(): string[] {
    return [...this.#kept].filter(([, { heldUntilMs }]) => heldUntilMs === Infinity)
      .map(([snapshot]) => snapshot);
  }

  /** Snapshots that must be there at a time of the server's clock. */
  owed(nowMs: number): string[] {
    for (const [snapshot, { heldUntilMs }] of [...this.#kept]) {
      if (heldUntilMs <= nowMs) this.#kept.delete(snapshot);
    }
    return [...this.#kept.keys()];
  }

  /** Paths of a snapshot that are not below `folder` as they were, or that should not be there. */
  differences(snapshot: string, folder: string): string[] {
    const expected = this.#kept.get(snapshot)!.manifest;
    const restored = manifestOf(join(folder, this.#source));
    const paths = new Set([...expected.keys(), ...restored.keys()]);
    return [...paths].filter((path) => expected.get(path) !== restored.get(path));
  }

  /** Paths of files that are below `folder` and are not as they were: those that are not there do not count. */
  wrongFiles(snapshot: string, folder: string): string[] {
    const expected = this.#kept.get(snapshot)!.manifest;
    const restored = manifestOf(join(folder, this.#source));
    return [...restored].filter(([path, text]) =>
      text.startsWith("file ") && text !== expected.get(path)
    ).map(([path]) => path);
  }

  save(): OracleState {
    return new Map(this.#kept);
  }

  load(state: OracleState): void {
    this.#kept = new Map(state);
  }
}

function manifestOf(folder: string): Manifest {
  const manifest = new Map<string, string>();
  if (kindOf(folder) !== "folder") return manifest;
  for (const path of [folder, ...pathsBelow(folder)]) {
    manifest.set(relative(folder, path), describe(path));
  }
  return manifest;
}

function describe(path: string): string {
  const { mode, mtime, uid, gid } = Deno.lstatSync(path);
  const marks = `${(mode! & 0o7777).toString(8)} ${uid}:${gid} ${mtime!.getTime()}`;
  const kind = kindOf(path);
  if (kind === "link") return `${kind} ${Deno.readLinkSync(path)} ${uid}:${gid}`;
  if (kind === "folder") return `${kind} ${marks}`;
  return `${kind} ${createHash("sha256").update(Deno.readFileSync(path)).digest("hex")} ${marks}`;
}

function* pathsBelow(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    yield path;
    if (isDirectory) yield* pathsBelow(path);
  }
}

function kindOf(path: string): "file" | "folder" | "link" | undefined {
  try {
    const { isSymlink, isDirectory } = Deno.lstatSync(path);
    return isSymlink ? "link" : isDirectory ? "folder" : "file";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function removeIfThere(path: string): void {
  if (kindOf(path) !== undefined) Deno.removeSync(path);
}
