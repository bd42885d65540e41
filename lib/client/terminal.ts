/** Questions to people, and the name of the machine. */
import { HoldfastError } from "../errors.ts";

const LINE_BYTES_MAX = 4096;

/** Whether somebody can be asked. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
}

/** Asks on standard error, and gives the line that is typed. */
export function askLine(question: string): string {
  Deno.stderr.writeSync(new TextEncoder().encode(question));
  return readLine();
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

/** The machine's name as far as it may be known. */
export function hostName(): string {
  if (Deno.permissions.querySync({ name: "sys", kind: "hostname" }).state === "granted") {
    return Deno.hostname();
  }
  try {
    return Deno.readTextFileSync("/etc/hostname").trim() || "unnamed";
  } catch {
    return "unnamed"; // it is only a name; --device gives another
  }
}
