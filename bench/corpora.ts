/** What is backed up: made of a seed, but for the noise, so that two runs have much the same. */
import { join } from "node:path";

const MIB = 1024 * 1024;
const POOL_BYTES = 4 * MIB;
const WORDS = 1_200_000;
/** Each so-many-th file of a tree changes. */
const CHANGED_EVERY = 100;

const text = makeText(makeRandom(7));
const noise = makeNoise(POOL_BYTES);
const readBuffer = new Uint8Array(POOL_BYTES);

/** Small files of all sizes in some thousand folders; a quarter do not compress, the others are made of words. */
export function makeTree(
  root: string,
  { files, bytes, seed }: { files: number; bytes: number; seed: number },
): void {
  const random = makeRandom(seed);
  for (let i = 0; i < files; i++) {
    const path = treePath(root, i);
    if (i < 97 * 23) Deno.mkdirSync(join(path, ".."), { recursive: true });
    const size = Math.min(Math.floor(-Math.log(1 - random()) * bytes / files), POOL_BYTES / 2);
    const pool = random() < 0.25 ? noise : text;
    const start = Math.floor(random() * (pool.length - size));
    Deno.writeFileSync(path, pool.subarray(start, start + size));
  }
}

/** Gives one in a hundred files other contents. */
export function changeTree(root: string, { files, seed }: { files: number; seed: number }): void {
  const random = makeRandom(seed);
  for (let i = seed % CHANGED_EVERY; i < files; i += CHANGED_EVERY) {
    const size = 1000 + Math.floor(random() * 20_000);
    const start = Math.floor(random() * (text.length - size));
    Deno.writeFileSync(treePath(root, i), text.subarray(start, start + size));
  }
}

/** One file that nothing can compress. */
export function makeNoiseFile(path: string, bytes: number): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (let left = bytes; left > 0;) left -= file.writeSync(makeNoise(Math.min(left, POOL_BYTES)));
}

/** Files like logs, of 64 MiB at most: words, with a number that no two lines share. */
export function makeTextFiles(root: string, { bytes }: { bytes: number }): void {
  Deno.mkdirSync(root);
  const random = makeRandom(3);
  const encoder = new TextEncoder();
  let line = 0;
  for (let number = 0, left = bytes; left > 0; number++) {
    using file = Deno.openSync(join(root, `log ${number}`), { write: true, create: true });
    for (let written = 0; written < 64 * MIB && left > 0;) {
      let lines = "";
      for (let i = 0; i < 2000; i++) {
        const start = Math.floor(random() * (text.length - 200));
        const words = text.subarray(start, start + 40 + Math.floor(random() * 120));
        lines += `${(line++).toString(16)} ${random()} ${String.fromCharCode(...words)}\n`;
      }
      const count = file.writeSync(encoder.encode(lines));
      written += count;
      left -= count;
    }
  }
}

/** Half of it small files, half one that does not compress. */
export function makeMixed(root: string, { bytes, seed }: { bytes: number; seed: number }): void {
  makeTree(join(root, "small"), { files: Math.ceil(bytes / 28_000), bytes: bytes / 2, seed });
  makeNoiseFile(join(root, "large"), Math.ceil(bytes / 2));
}

/** Reads everything, so that it is in the system's memory for whoever backs it up next. */
export function readTree(path: string): void {
  if (!Deno.lstatSync(path).isDirectory) return readWhole(path);
  for (const { name } of Deno.readDirSync(path)) readTree(join(path, name));
}

function readWhole(path: string): void {
  using file = Deno.openSync(path);
  while (file.readSync(readBuffer) !== null);
}

/** Numbers from 0 to 1, the same each time (mulberry32). */
export function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let value = Math.imul(state ^ state >>> 15, 1 | state);
    value = value + Math.imul(value ^ value >>> 7, 61 | value) ^ value;
    return ((value ^ value >>> 14) >>> 0) / 2 ** 32;
  };
}

function treePath(root: string, number: number): string {
  return join(root, `${number % 97}`, `${Math.floor(number / 97) % 23}`, `file ${number}`);
}

function makeText(random: () => number): Uint8Array {
  const letters = "etaoinshrdlucmfwypvbgkjqxz";
  const words = Array.from({ length: 3000 }, () => {
    const length = 2 + Math.floor(random() * 8);
    return Array.from({ length }, () => letters[Math.floor(random() ** 2 * 26)]).join("");
  });
  const all = Array.from({ length: WORDS }, () => words[Math.floor(random() ** 2 * 3000)]);
  return new TextEncoder().encode(all.join(" "));
}

function makeNoise(bytes: number): Uint8Array<ArrayBuffer> {
  const noise = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) {
    crypto.getRandomValues(noise.subarray(at, Math.min(bytes, at + 65_536)));
  }
  return noise;
}
