/** Questions to people, and the name of the machine. */
import { HoldfastError } from "../errors.ts";
import { InterruptedError } from "./interrupt.ts";

const LINE_BYTES_MAX = 4096;
const Key = {
  INTERRUPT: 0x03,
  END_OF_TEXT: 0x04,
  BACKSPACE: 0x08,
  LINE_FEED: 0x0a,
  RETURN: 0x0d,
  DELETE: 0x7f,
} as const;

/** Whether somebody can be asked. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
}

/** Asks on standard error, and gives the line that is typed. */
export function askLine(question: string): string {
  Deno.stderr.writeSync(new TextEncoder().encode(question));
  return readLine();
}

/** Asks on standard error for what nobody must read over a shoulder: what is typed is not shown. */
export async function askSecret(question: string): Promise<string> {
  Deno.stderr.writeSync(new TextEncoder().encode(question));
  Deno.stdin.setRaw(true);
  try {
    return await readTyped();
  } finally {
    Deno.stdin.setRaw(false);
    Deno.stderr.writeSync(new TextEncoder().encode("\n"));
  }
}

/** What is typed up to the end of the line; the terminal itself does nothing with the keys. */
async function readTyped(): Promise<string> {
  const bytes: number[] = [];
  const byte = new Uint8Array(1);
  while (await Deno.stdin.read(byte) === 1) {
    const [key] = byte;
    if (key === Key.RETURN || key === Key.LINE_FEED || key === Key.END_OF_TEXT) break;
    if (key === Key.INTERRUPT) throw new InterruptedError("Interrupted");
    if (key === Key.DELETE || key === Key.BACKSPACE) removeLastCharacter(bytes);
    else if (bytes.length < LINE_BYTES_MAX) bytes.push(key);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** The last byte that begins a character, and what follows it. */
function removeLastCharacter(bytes: number[]): void {
  let byte = bytes.pop();
  while (byte !== undefined && (byte & 0xc0) === 0x80) byte = bytes.pop();
}

/** The next line of standard input. */
export function readLine(): string {
  const bytes: number[] = [];
  const byte = new Uint8Array(1);
  while (Deno.stdin.readSync(byte) === 1 && byte[0] !== 0x0a) {
    bytes.push(byte[0]);
    if (bytes.length > LINE_BYTES_MAX) {
      throw new HoldfastError("Cannot read standard input: too long a line");
    }
  }
  return new TextDecoder().decode(Uint8Array.from(bytes)).trim();
}

/**
 * The machine's name as far as it may be known. On most systems a file has it, so that no permission is needed for the
 * call.
 *
 * @param otherwise in its place if it may not
 */
export function hostName(otherwise = "unnamed"): string {
  if (Deno.permissions.querySync({ name: "sys", kind: "hostname" }).state === "granted") {
    return Deno.hostname();
  }
  try {
    return Deno.readTextFileSync("/etc/hostname").trim() || otherwise;
  } catch {
    return otherwise; // it is only a name
  }
}
