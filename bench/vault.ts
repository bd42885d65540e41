/**
 * Measures backups to a vault: a tree of small files and one large file; first, unchanged, and after a change. Everything is
 * made in a new temporary folder. With restic in PATH it is measured in the same rounds, against its own local
 * repository; without it, that is said.
 *
 *     deno run -A bench/vault.ts [--rounds 3] [--files 50000] [--tree-bytes 700MiB] [--large-bytes 1500MiB]
 *
 * Compare only within one run: the machine's state (page cache, memory that is touched for the first time, files that
 * were just deleted) weighs more than most changes of the code.
 */
import { join } from "node:path";
import { formatByteSize, parseByteSize, parseCount, parseFlags, readFlag } from "../lib/flags.ts";

const SERVER = new URL("../server.ts", import.meta.url).pathname;
const CLIENT = new URL("../client.ts", import.meta.url).pathname;
const RUN = ["run", "--no-prompt", "--quiet", "--allow-net", "--allow-read", "--allow-write"];
const WORDS = 60_000;

interface Measured {
  seconds: number;
  /** Highest resident memory, bytes. */
  peakBytes: number;
}

interface BenchOptions {
  rounds: number;
  files: number;
  treeBytes: number;
  largeBytes: number;
}

const results = new Map<string, Measured[]>();
const options = parseOptions(Deno.args);
const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
try {
  await measureAll(options);
  printResults();
} finally {
  Deno.removeSync(folder, { recursive: true });
}

async function measureAll({ rounds, files, treeBytes, largeBytes }: BenchOptions): Promise<void> {
  const tree = join(folder, "tree");
  const large = join(folder, "large");
  makeTree(tree, { files, bytes: treeBytes });
  makeLargeFile(large, largeBytes);
  console.log(
    `tree: ${files} files, ${formatByteSize(treeBytes)}; large file: ${formatByteSize(largeBytes)}`,
  );
  const hasRestic = await isInstalled("restic");
  if (!hasRestic) console.log("restic is not installed: only holdfast is measured");
  await sleep(1100); // what was made in the second of the first backup is read again by the next
  for (let round = 0; round < rounds; round++) {
    for (const [name, source] of [["tree", tree], ["large", large]]) {
      await measureHoldfast(name, { source, round });
      if (hasRestic) await measureRestic(name, { source, round });
    }
  }
}

async function measureHoldfast(
  name: string,
  { source, round }: { source: string; round: number },
): Promise<void> {
  const data = join(folder, `data ${name} ${round}`);
  const profile = join(folder, `profile ${name} ${round}`);
  const { child: server, port } = await startServer(data);
  try {
    const invite = ["invite", "--data", data, "--address", `127.0.0.1:${port}`];
    const line = (await output([...RUN, SERVER, ...invite])).trim();
    const code = ["--recovery-file", join(folder, `code ${name} ${round}`)];
    await output([...RUN, CLIENT, "init", line, "--profile", profile, ...code]);
    const backup = [...RUN, CLIENT, "backup", source, "--profile", profile];
    note(`holdfast ${name} first`, await measure(Deno.execPath(), backup));
    note(`holdfast ${name} unchanged`, await measure(Deno.execPath(), backup));
    const { peakBytes } = readMemory(server.pid)!;
    note(`holdfast ${name} server`, { seconds: readCpuSeconds(server.pid), peakBytes });
  } finally {
    server.kill("SIGTERM");
    await server.status;
  }
}

async function measureRestic(
  name: string,
  { source, round }: { source: string; round: number },
): Promise<void> {
  const repository = join(folder, `restic ${name} ${round}`);
  const args = ["--repo", repository, "--quiet"];
  await measure("restic", [...args, "init"]);
  note(`restic ${name} first`, await measure("restic", [...args, "backup", source]));
  note(`restic ${name} unchanged`, await measure("restic", [...args, "backup", source]));
}

async function startServer(data: string): Promise<{ child: Deno.ChildProcess; port: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...RUN, SERVER, "serve", "--data", data, "--classic", "off", "--listen", "127.0.0.1:0"],
    stderr: "piped",
    stdout: "null",
  }).spawn();
  const [own, rest] = child.stderr.tee();
  void rest.pipeTo(new WritableStream());
  let log = "";
  for await (const text of own.pipeThrough(new TextDecoderStream())) {
    log += text;
    const match = /127\.0\.0\.1:(\d+)/.exec(log);
    if (match !== null) return { child, port: Number(match[1]) };
  }
  throw new Error(`The server does not listen: ${log}`);
}

/** Runs a program to its end. */
async function measure(command: string, args: string[]): Promise<Measured> {
  const startedAt = performance.now();
  const env = { RESTIC_PASSWORD: "bench" };
  const child = new Deno.Command(command, { args, env, stdout: "null", stderr: "null" }).spawn();
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, readMemory(child.pid)?.peakBytes ?? 0);
  }, 20);
  const { code } = await child.status;
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return { seconds: (performance.now() - startedAt) / 1000, peakBytes };
}

async function output(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Undefined when the process has ended, or the system does not tell. */
function readMemory(pid: number): { peakBytes: number } | undefined {
  try {
    const match = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
    return match === null ? undefined : { peakBytes: Number(match[1]) * 1024 };
  } catch {
    return undefined;
  }
}

/** Of all its threads. */
function readCpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function isInstalled(command: string): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args: ["version"], stdout: "null" }).output())
      .success;
  } catch {
    return false;
  }
}

/** A quarter of the files do not compress, the others are made of words. */
function makeTree(root: string, { files, bytes }: { files: number; bytes: number }): void {
  const random = makeRandom(1);
  const text = makeText(random);
  const noise = makeNoise(4 * 1024 * 1024);
  for (let i = 0; i < files; i++) {
    const folder = join(root, `${i % 97}`, `${Math.floor(i / 97) % 23}`);
    if (i < 97 * 23) Deno.mkdirSync(folder, { recursive: true });
    const size = Math.min(Math.floor(-Math.log(1 - random()) * bytes / files), 4 * 1024 * 1024);
    const pool = random() < 0.25 ? noise : text;
    const start = Math.floor(random() * (pool.length - size));
    Deno.writeFileSync(join(folder, `file ${i}`), pool.subarray(start, start + size));
  }
}

function makeLargeFile(path: string, bytes: number): void {
  const file = Deno.openSync(path, { write: true, create: true });
  for (let left = bytes; left > 0;) {
    left -= file.writeSync(makeNoise(Math.min(left, 4 * 1024 * 1024)));
  }
  file.close();
}

function makeText(random: () => number): Uint8Array {
  const letters = "etaoinshrdlucmfwypvbgkjqxz";
  const words = Array.from({ length: 3000 }, () => {
    const length = 2 + Math.floor(random() * 8);
    return Array.from({ length }, () => letters[Math.floor(random() ** 2 * 26)]).join("");
  });
  const all = Array.from({ length: 20 * WORDS }, () => words[Math.floor(random() ** 2 * 3000)]);
  return new TextEncoder().encode(all.join(" "));
}

function makeNoise(bytes: number): Uint8Array<ArrayBuffer> {
  const noise = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) {
    crypto.getRandomValues(noise.subarray(at, Math.min(bytes, at + 65_536)));
  }
  return noise;
}

/** Numbers from 0 to 1, the same each time (mulberry32). */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let value = Math.imul(state ^ state >>> 15, 1 | state);
    value = value + Math.imul(value ^ value >>> 7, 61 | value) ^ value;
    return ((value ^ value >>> 14) >>> 0) / 2 ** 32;
  };
}

function note(name: string, measured: Measured): void {
  results.set(name, [...results.get(name) ?? [], measured]);
  const { seconds, peakBytes } = measured;
  console.log(`${name.padEnd(28)} ${seconds.toFixed(2)} s  ${formatByteSize(peakBytes)}`);
}

function printResults(): void {
  console.log("\nmedians (server: CPU seconds)");
  for (const [name, all] of results) {
    const seconds = median(all.map(({ seconds }) => seconds));
    const peak = formatByteSize(median(all.map(({ peakBytes }) => peakBytes)));
    console.log(`${name.padEnd(28)} ${seconds.toFixed(2)} s  ${peak}`);
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function parseOptions(args: string[]): BenchOptions {
  const text = { type: "string" } as const;
  const { values } = parseFlags(args, {
    ...{ rounds: text, files: text },
    ...{ "tree-bytes": text, "large-bytes": text },
  });
  const size = (flag: string, otherwise: number) =>
    readFlag(values, { flag, parse: parseByteSize, otherwise });
  return {
    rounds: readFlag(values, { flag: "rounds", parse: parseCount, otherwise: 3 }),
    files: readFlag(values, { flag: "files", parse: parseCount, otherwise: 50_000 }),
    treeBytes: size("tree-bytes", 700 * 1024 * 1024),
    largeBytes: size("large-bytes", 1500 * 1024 * 1024),
  };
}
