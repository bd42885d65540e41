/**
 * The folder of a profile (docs/profile.md): where it is, whether it may be written, and its files,
 * each of which is replaced in one step and durable before the call returns.
 */
import { join, resolve } from "node:path";
import { writeFileDurably } from "../durable.ts";
import { DamagedError, RefusedError, UsageError } from "../errors.ts";
import { PROFILE_FILE_BYTES_MAX } from "../limits.ts";

const NAME = ".holdfast";
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Where the profile is: the folder that was named, else `.holdfast` here if it is there, else `.holdfast` in the home
 * folder where the environment may be read, else here.
 */
export function locateProfile(
  named: string | undefined,
  passphrasePath?: string | undefined,
): ProfileFolder {
  if (named !== undefined) return new ProfileFolder(resolve(named), passphrasePath);
  const here = resolve(NAME);
  const home = readHome();
  const isHere = home === undefined || isFolder(here);
  return new ProfileFolder(isHere ? here : join(home, NAME), passphrasePath);
}

export class ProfileFolder {
  /** Absolute. */
  readonly path: string;
  /** The file that holds the passphrase of the profile, if one was named. */
  readonly passphrasePath: string | undefined;

  constructor(path: string, passphrasePath?: string) {
    this.path = path;
    this.passphrasePath = passphrasePath;
  }

  filePath(name: string): string {
    return join(this.path, name);
  }

  has(name: string): boolean {
    try {
      return Deno.statSync(this.filePath(name)).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** The file's bytes, or undefined if there is none. */
  read(name: string): Uint8Array<ArrayBuffer> | undefined {
    const path = this.filePath(name);
    try {
      const { size } = Deno.statSync(path);
      if (size > PROFILE_FILE_BYTES_MAX) throw new DamagedError(`Cannot read ${path}: too large`);
      return Deno.readFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Whether the permission to write here was given. */
  get isWritable(): boolean {
    return Deno.permissions.querySync({ name: "write", path: this.path }).state === "granted";
  }

  /**
   * Tells before anything is done that its result could not be kept.
   *
   * @param purpose what cannot be done without, after "Cannot"
   * @throws {RefusedError}
   */
  checkWritable(purpose: string): void {
    if (this.isWritable) return;
    throw new RefusedError(`Cannot ${purpose}: no permission to write in ${this.path}`, {
      hint: `run with --allow-write=${this.path}`,
    });
  }

  /** Makes the folder if it is not there. */
  create(): void {
    Deno.mkdirSync(this.path, { recursive: true, mode: FOLDER_MODE });
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await writeFileDurably(this.filePath(name), bytes, { mode: FILE_MODE });
  }

  async remove(name: string): Promise<void> {
    try {
      await Deno.remove(this.filePath(name));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** @throws {UsageError} that says where a profile was looked for */
export function noProfile(folder: ProfileFolder): UsageError {
  return new UsageError(`Cannot find a profile: there is none in ${folder.path}`, {
    hint: "client init makes one from an invite; --profile DIR names another folder",
  });
}

function readHome(): string | undefined {
  const variable = Deno.build.os === "windows" ? "USERPROFILE" : "HOME";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
