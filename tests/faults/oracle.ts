/** Keeps what each acknowledged snapshot must restore to: names, bytes, modes and times. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import type { Random } from "./random.ts";

/** By path below the source. */
export type Manifest = Map<string, string>;

interface Kept {
  manifest: Manifest;
  /** When it may be gone, by the server's clock; Infinity: never. */
  heldUntilMs: number;
}

const FILE_BYTES_MAX = 40_000;

export class Oracle {
  readonly #source: string;
  readonly #random: Random;
  readonly #kept = new Map<string, Kept>();

  constructor(source: string, random: Random) {
    this.#source = source;
    this.#random = random;
  }

  /** Changes some files. Some bytes come again, as they do in life. */
  change(): void {
    const random = this.#random;
    for (let i = 0; i < 4; i++) {
      const folder = join(this.#source, `folder${random.below(3)}`);
      Deno.mkdirSync(folder, { recursive: true });
      const path = join(folder, `file${random.below(6)}`);
      if (random.below(5) === 0) {
        if (exists(path)) Deno.removeSync(path);
        continue;
      }
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
    this.#kept.get(snapshot)!.heldUntilMs = heldUntilMs;
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

  /** Compares what was restored below `folder`, to the byte. */
  compare(snapshot: string, folder: string): void {
    const restored = manifestOf(join(folder, this.#source));
    assert.deepEqual(restored, this.#kept.get(snapshot)!.manifest, `snapshot ${snapshot}`);
  }
}

function manifestOf(folder: string): Manifest {
  const manifest: Manifest = new Map();
  for (const path of filesBelow(folder).sort()) {
    const { mode, mtime } = Deno.statSync(path);
    const hash = createHash("sha256").update(Deno.readFileSync(path)).digest("hex");
    const name = relative(folder, path);
    manifest.set(name, `${hash} ${(mode! & 0o7777).toString(8)} ${mtime!.getTime()}`);
  }
  return manifest;
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    return isDirectory ? filesBelow(path) : [path];
  });
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
