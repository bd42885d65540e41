/** How a recovery code gets from the program to its owner, and back. */
import { syncDirectory, writeAll } from "../durable.ts";
import { dirname, resolve } from "node:path";
import { RefusedError, UsageError } from "../errors.ts";
import { SETTINGS_FILE_BYTES_MAX } from "../limits.ts";
import { print, printError } from "../program.ts";
import { formatRecoveryCode, RECOVERY_SECRET_BYTES } from "../vault/recovery.ts";
import { askLine, askSecret, canAsk } from "./terminal.ts";

/** To whom a code is handed. */
export type HandOver =
  | { by: "terminal" }
  | { by: "file"; path: string }
  | { by: "output" }
  | { by: "nobody" };

/**
 * Decides before anything is done how the code will be handed over.
 *
 * @throws {UsageError} if there is neither a terminal nor a file to hand it to
 * @throws {RefusedError} if the file may not be written
 */
export function planHandOver(
  { path, yes }: { path: string | undefined; yes: boolean },
): HandOver {
  if (path !== undefined) {
    const file = resolve(path);
    const { state } = Deno.permissions.querySync({ name: "write", path: file });
    if (state === "granted") return { by: "file", path: file };
    throw new RefusedError(`Cannot write the recovery code: no permission to write ${file}`, {
      hint: `run with --allow-write=${file}`,
    });
  }
  if (yes) return { by: "output" };
  if (canAsk()) return { by: "terminal" };
  throw new UsageError("Cannot show the recovery code: there is no terminal", {
    hint: "--recovery-file FILE writes it to a file, --yes to standard output",
  });
}

/** Draws a code, hands it over, and gives its secret. */
export async function handOverCode(handOver: HandOver): Promise<Uint8Array> {
  const secret = crypto.getRandomValues(new Uint8Array(RECOVERY_SECRET_BYTES));
  const code = formatRecoveryCode(secret);
  if (handOver.by === "file") await writeCode(handOver.path, code);
  if (handOver.by === "output") print(code);
  if (handOver.by === "terminal") showCode(code);
  return secret;
}

/** The code that somebody has in a file, or types; it is not shown. */
export async function readCode(path: string | undefined): Promise<string> {
  if (path !== undefined) {
    if (Deno.statSync(path).size > SETTINGS_FILE_BYTES_MAX) {
      throw new UsageError(`Cannot read ${path}: too large for a recovery code`);
    }
    return Deno.readTextFileSync(path).trim();
  }
  if (canAsk()) return await askSecret("Recovery code: ");
  throw new UsageError("Cannot ask for the recovery code: there is no terminal", {
    hint: "--code-file FILE reads it from a file",
  });
}

/** Never over a file that is there: it may hold another code. */
async function writeCode(path: string, code: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    await writeAll(file, new TextEncoder().encode(code + "\n"));
    await file.sync();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AlreadyExists)) throw cause;
    throw new UsageError(`Cannot write the recovery code: ${path} is there already`, { cause });
  }
  await syncDirectory(dirname(path));
}

/** Shows the code and waits until its last group is typed: so it was written down, or copied. */
function showCode(code: string): void {
  printError("\nThe recovery code of the vault, shown only now:\n");
  printError(`    ${code}\n`);
  printError("Write it down and keep it where this machine's end is not its end too.");
  const last = code.split("-").at(-1);
  for (;;) {
    const typed = askLine("Its last four letters, to confirm: ");
    if (typed.toUpperCase() === last) return;
    if (typed === "") throw new UsageError("Cannot go on: the recovery code was not confirmed");
    printError("That is not what stands there.");
  }
}
