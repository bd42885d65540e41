/**
 * Backups to a vault, and the same by restic and Borg, in the same rounds (bench/README.md says how and why). A round has
 * fresh repositories; nothing is deleted before the end; every job ends with a restore that is compared.
 */
import { join } from "node:path";
import {
  changeTree,
  makeMixed,
  makeNoiseFile,
  makeTextFiles,
  makeTree,
  readTree,
} from "./corpora.ts";
import {
  flushDisks,
  measure,
  type Measured,
  readCpuSeconds,
  readPeakBytes,
  type Run,
} from "./measure.ts";
import { findPeers, type Peer, type Place, type Repository } from "./peers.ts";
import { type Result, Results } from "./results.ts";
import { requireSame } from "./same.ts";
import { printTable } from "./table.ts";

export const VAULT_JOBS = ["tree", "large", "text", "clients"] as const;
export type VaultJob = typeof VAULT_JOBS[number];

export interface VaultBenchOptions {
  rounds: number;
  /** 1: the full sizes. */
  scale: number;
  jobs: VaultJob[];
  /** Only ours, for work on it. */
  isAlone: boolean;
  /** With `bare.ts` as one more. */
  isBare: boolean;
}

const TREE_FILES = 50_000;
const TREE_BYTES = 700e6;
const LARGE_BYTES = 1.6e9;
const TEXT_BYTES = 2e9;
const CLIENTS = 8;
const CLIENT_BYTES = 0.2e9;
const WARM_UP_SHARE = 0.02;

/** What one job needs, while it is done by all peers. */
interface Bench {
  folder: string;
  scale: number;
  peers: Peer[];
  results: Results;
  round: number;
}

/** A peer with its place, in one round. */
interface Entrant {
  peer: Peer;
  place: Place;
  repositories: Repository[];
  folder: string;
}

export async function benchVault(options: VaultBenchOptions): Promise<void> {
  const { rounds, scale, jobs, isAlone, isBare } = options;
  const found = await findPeers({ isBare });
  const peers = found.filter(({ name }, i) => i === 0 || !isAlone || name === "bare");
  for (const { name, version } of peers) console.log(`${name}: ${version}`);
  const results = new Results(peers.map(({ name }) => name));
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
  try {
    const bench = { folder, scale, peers, results };
    makeCorpora(folder, { scale, jobs });
    await warmUp({ ...bench, round: 0 });
    for (let round = 0; round < rounds; round++) {
      for (const job of jobs) await JOBS[job]({ ...bench, round });
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  printTable("\nTime, and ours over theirs (CPU: client and server)", results.times());
  printTable("Peak memory, client + server", results.memory());
  printTable("Stored", results.stored());
}

const JOBS: Record<VaultJob, (bench: Bench) => Promise<void>> = {
  tree: benchTree,
  large: (bench) => benchOnce(bench, "large"),
  text: (bench) => benchOnce(bench, "text"),
  clients: benchClients,
};

async function benchTree(bench: Bench): Promise<void> {
  const source = join(bench.folder, "tree");
  const files = TREE_FILES * bench.scale;
  const entrants = await enter(bench, { job: "tree", clients: 1 });
  for (const name of ["tree: first backup", "tree: unchanged"]) await backUp(name);
  await sleep(1100); // whoever compares times in whole seconds sees the change as well
  changeTree(source, { files, seed: bench.round + 1 });
  await backUp("tree: 1 % changed");
  await restoreAll(bench, { name: "tree: restore", entrants, sources: [source] });
  await leave(bench, { job: "tree", entrants });

  async function backUp(name: string): Promise<void> {
    for (const entrant of entrants) {
      readTree(source);
      await note(bench, { name, entrant, runs: [entrant.repositories[0].backup(source)] });
    }
  }
}

/** A first backup, and a restore. */
async function benchOnce(bench: Bench, job: "large" | "text"): Promise<void> {
  const source = join(bench.folder, job);
  const entrants = await enter(bench, { job, clients: 1 });
  for (const entrant of entrants) {
    readTree(source);
    const runs = [entrant.repositories[0].backup(source)];
    await note(bench, { name: `${job}: first backup`, entrant, runs });
  }
  await restoreAll(bench, { name: `${job}: restore`, entrants, sources: [source] });
  await leave(bench, { job, entrants });
}

async function benchClients(bench: Bench): Promise<void> {
  const sources = Array.from({ length: CLIENTS }, (_, n) => join(bench.folder, `client ${n}`));
  const entrants = await enter(bench, { job: "clients", clients: CLIENTS });
  for (const entrant of entrants) {
    sources.forEach(readTree);
    const runs = sources.map((source, n) => entrant.repositories[n].backup(source));
    await note(bench, { name: "8 clients: first backup", entrant, runs });
  }
  await restoreAll(bench, { name: "8 clients: restore", entrants, sources });
  await leave(bench, { job: "clients", entrants });
}

async function restoreAll(
  bench: Bench,
  { name, entrants, sources }: { name: string; entrants: Entrant[]; sources: string[] },
): Promise<void> {
  for (const entrant of entrants) {
    const targets = sources.map((_, n) => join(entrant.folder, `restored ${n}`));
    const runs = targets.map((target, n) => entrant.repositories[n].restore(target));
    await note(bench, { name, entrant, runs });
    for (const [n, source] of sources.entries()) requireSame(source, join(targets[n], source));
  }
}

/** Starts a peer's server, and makes its repositories. In each round another one is the first. */
async function enter(
  { folder, peers, round }: Bench,
  { job, clients }: { job: string; clients: number },
): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (let i = 0; i < peers.length; i++) {
    const peer = peers[(i + round) % peers.length];
    const own = join(folder, `${job} ${round} ${peer.name}`);
    Deno.mkdirSync(own);
    const place = await peer.start(own);
    const repositories: Repository[] = [];
    for (let n = 0; n < clients; n++) repositories.push(await place.open(`${n}`));
    entrants.push({ peer, place, repositories, folder: own });
  }
  return entrants;
}

async function leave(
  { results }: Bench,
  { job, entrants }: { job: string; entrants: Entrant[] },
): Promise<void> {
  for (const { peer, place } of entrants) {
    await place.stop();
    results.addStored(job, peer.name, sizeOf(place.data));
  }
}

/** Runs programs at the same time. */
async function note(
  { results }: Bench,
  { name, entrant, runs }: { name: string; entrant: Entrant; runs: Run[] },
): Promise<void> {
  const { peer, place: { pid } } = entrant;
  await flushDisks();
  const cpuBefore = pid === undefined ? 0 : readCpuSeconds(pid);
  const all = await Promise.all(runs.map(measure));
  const serverCpuSeconds = pid === undefined ? 0 : readCpuSeconds(pid) - cpuBefore;
  const serverPeakBytes = pid === undefined ? 0 : readPeakBytes(pid);
  results.add(name, peer.name, { ...sum(all), serverCpuSeconds, serverPeakBytes });
}

/** The time of the slowest, the memory of the largest, the processor time of all. */
function sum(all: Measured[]): Omit<Result, "serverCpuSeconds" | "serverPeakBytes"> {
  return {
    seconds: Math.max(...all.map(({ seconds }) => seconds)),
    cpuSeconds: all.reduce((total, { cpuSeconds }) => total + cpuSeconds, 0),
    peakBytes: Math.max(...all.map(({ peakBytes }) => peakBytes)),
  };
}

/** Programs and memory that are used for the first time are slow. */
async function warmUp(bench: Bench): Promise<void> {
  console.log("\nwarm-up");
  const source = join(bench.folder, "warm-up");
  makeTree(source, {
    files: TREE_FILES * WARM_UP_SHARE,
    bytes: TREE_BYTES * WARM_UP_SHARE,
    seed: 5,
  });
  for (
    const { place, repositories: [repository], folder } of await enter(bench, {
      job: "warm",
      clients: 1,
    })
  ) {
    await measure(repository.backup(source));
    await measure(repository.restore(join(folder, "restored")));
    requireSame(source, join(folder, "restored", source));
    await place.stop();
  }
}

function makeCorpora(
  folder: string,
  { scale, jobs }: Pick<VaultBenchOptions, "scale" | "jobs">,
): void {
  console.log("\nmaking what is backed up");
  if (jobs.includes("tree")) {
    const size = { files: TREE_FILES * scale, bytes: TREE_BYTES * scale, seed: 1 };
    makeTree(join(folder, "tree"), size);
  }
  if (jobs.includes("large")) makeNoiseFile(join(folder, "large"), LARGE_BYTES * scale);
  if (jobs.includes("text")) makeTextFiles(join(folder, "text"), { bytes: TEXT_BYTES * scale });
  if (!jobs.includes("clients")) return;
  for (let n = 0; n < CLIENTS; n++) {
    makeMixed(join(folder, `client ${n}`), { bytes: CLIENT_BYTES * scale, seed: 100 + n });
  }
}

/** Bytes of all files below, without the room that our server keeps free for itself: it is always 64 MiB. */
function sizeOf(path: string): number {
  const info = Deno.lstatSync(path);
  if (!info.isDirectory) return info.size;
  return Array.from(Deno.readDirSync(path)).reduce(
    (total, { name }) => total + (name === "reserve" ? 0 : sizeOf(join(path, name))),
    0,
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
