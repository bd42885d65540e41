/** Compares what was restored with what was backed up, byte by byte. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { readFull } from "./read_full.ts";

const PIECE_BYTES = 4 * 1024 * 1024;
const left = new Uint8Array(PIECE_BYTES);
const right = new Uint8Array(PIECE_BYTES);

/** @throws {Error} that names the first difference */
export function requireSame(source: string, restored: string): void {
  const [info, other] = [Deno.lstatSync(source), Deno.lstatSync(restored)];
  if (info.isDirectory !== other.isDirectory || info.mode !== other.mode) throw differs(restored);
  if (!info.isDirectory) return requireSameBytes(source, restored);
  const names = namesIn(source);
  if (names.join("\n") !== namesIn(restored).join("\n")) throw differs(restored);
  for (const name of names) requireSame(join(source, name), join(restored, name));
}

function requireSameBytes(source: string, restored: string): void {
  using a = Deno.openSync(source);
  using b = Deno.openSync(restored);
  for (;;) {
    const count = readFull(a, left);
    if (readFull(b, right) !== count) throw differs(restored);
    if (count === 0) return;
    const isSame = Buffer.compare(left.subarray(0, count), right.subarray(0, count)) === 0;
    if (!isSame) throw differs(restored);
  }
}

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

function differs(path: string): Error {
  return new Error(`Restored data differ: ${path}`);
}
