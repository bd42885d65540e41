/** Where the passphrase of a profile comes from: a file that is named, or somebody at the terminal. */
import { UsageError } from "../errors.ts";
import { SETTINGS_FILE_BYTES_MAX } from "../limits.ts";
import { askSecret, canAsk } from "./terminal.ts";

const ATTEMPTS_MAX = 3;

/**
 * The passphrase that a profile is under.
 *
 * @param path the file that holds it, if one was named
 * @throws {UsageError} if there is neither a file nor a terminal
 */
export async function givePassphrase(path: string | undefined): Promise<string> {
  if (path !== undefined) return readPassphrase(path);
  if (canAsk()) return await askSecret("Passphrase of the profile: ");
  throw new UsageError("Cannot open the profile: it is under a passphrase", {
    hint: "--passphrase-file FILE reads it from a file",
  });
}

/** A new passphrase; somebody who types it types it twice. @throws {UsageError} if there is none */
export async function giveNewPassphrase(path: string | undefined): Promise<string> {
  if (path !== undefined) return readPassphrase(path);
  if (!canAsk()) {
    throw new UsageError("Cannot ask for a new passphrase: there is no terminal", {
      hint: "--new-passphrase-file FILE reads it from a file",
    });
  }
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const passphrase = await askSecret("New passphrase: ");
    if (passphrase !== "" && await askSecret("The same again: ") === passphrase) return passphrase;
  }
  throw new UsageError("Cannot set a passphrase: it was not typed twice the same");
}

/** The first line of a file. */
function readPassphrase(path: string): string {
  let size: number;
  try {
    size = Deno.statSync(path).size;
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new UsageError(`Cannot read ${path}: there is no such file`, { cause });
  }
  if (size > SETTINGS_FILE_BYTES_MAX) {
    throw new UsageError(`Cannot read ${path}: too large for a passphrase`);
  }
  const [line] = Deno.readTextFileSync(path).split(/\r?\n/, 1);
  if (line === "") throw new UsageError(`Cannot use ${path}: its first line is empty`);
  return line;
}
