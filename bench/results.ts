/** Collects what was measured, and makes tables of medians and ratios. */
import { formatByteSize } from "../lib/flags.ts";
import { type Measured, median } from "./measure.ts";
import type { Row } from "./table.ts";

/** One run: the client's time, and what client and server used. */
export interface Result extends Measured {
  /** What the server used meanwhile. */
  serverCpuSeconds: number;
  /** Since the server's start. */
  serverPeakBytes: number;
}

/** Our time over restic's is to be at most this. */
const GOALS: Record<string, number> = {
  "tree: first backup": 0.33,
  "tree: unchanged": 0.25,
  "tree: 1 % changed": 0.33,
  "tree: restore": 0.5,
  "large: first backup": 0.67,
  "large: restore": 0.67,
  "text: first backup": 0.6,
  "8 clients: first backup": 0.6,
};

export class Results {
  readonly #names: string[];
  readonly #jobs = new Map<string, Map<string, Result[]>>();
  readonly #stored = new Map<string, Map<string, number[]>>();

  /** @param names of the peers; the first is ours */
  constructor(names: string[]) {
    this.#names = names;
  }

  add(job: string, peer: string, result: Result): void {
    put(this.#jobs, { job, peer, value: result });
    const { seconds, cpuSeconds, serverCpuSeconds, peakBytes } = result;
    console.log(
      `${job}, ${peer}: ${seconds.toFixed(2)} s, processor ${cpuSeconds.toFixed(2)} + ` +
        `${serverCpuSeconds.toFixed(2)} s, ${formatByteSize(peakBytes)}`,
    );
  }

  addStored(job: string, peer: string, bytes: number): void {
    put(this.#stored, { job, peer, value: bytes });
  }

  /** Seconds, and ours over those of the others. */
  times(): Row[] {
    return this.#rows(this.#jobs, (job, of) => {
      const seconds = (name: string) => medianOf(of(name), (result) => result.seconds);
      const cpu = (name: string) =>
        medianOf(of(name), ({ cpuSeconds, serverCpuSeconds }) => cpuSeconds + serverCpuSeconds);
      const columns = this.#names.map((name) => [name, show(seconds(name), " s")]);
      const ratios = this.#others.map((name) => [`of ${name}`, ratio(seconds, [this.#own, name])]);
      const cpuRatios = this.#others.map((
        name,
      ) => [`CPU of ${name}`, ratio(cpu, [this.#own, name])]);
      return { ...Object.fromEntries([...columns, ...ratios, ...cpuRatios]), goal: goalOf(job) };
    });
  }

  /** Highest resident memory of the client, and of the server where there is one. */
  memory(): Row[] {
    return this.#rows(this.#jobs, (_, of) =>
      Object.fromEntries(this.#names.map((name) => {
        const client = medianOf(of(name), ({ peakBytes }) => peakBytes);
        const server = medianOf(of(name), ({ serverPeakBytes }) => serverPeakBytes);
        return [
          name,
          server > 0 ? `${mebibytes(client)} + ${mebibytes(server)}` : mebibytes(client),
        ];
      })));
  }

  /** What lies in the repository after all backups of a job. */
  stored(): Row[] {
    return this.#rows(this.#stored, (_, of) => {
      const bytes = (name: string) => medianOf(of(name), (value) => value);
      const columns = this.#names.map((name) => [name, mebibytes(bytes(name))]);
      const ratios = this.#others.map((name) => [`of ${name}`, ratio(bytes, [this.#own, name])]);
      return Object.fromEntries([...columns, ...ratios]);
    });
  }

  get #own(): string {
    return this.#names[0];
  }

  get #others(): string[] {
    return this.#names.slice(1);
  }

  #rows<T>(
    jobs: Map<string, Map<string, T[]>>,
    cells: (job: string, of: (name: string) => T[]) => Row,
  ): Row[] {
    return Array.from(jobs, ([job, results]) => {
      return { job, ...cells(job, (name) => results.get(name) ?? []) };
    });
  }
}

function put<T>(
  map: Map<string, Map<string, T[]>>,
  { job, peer, value }: { job: string; peer: string; value: T },
): void {
  const results = map.get(job) ?? new Map<string, T[]>();
  map.set(job, results);
  results.set(peer, [...results.get(peer) ?? [], value]);
}

/** NaN if there is none. */
function medianOf<T>(results: T[], pick: (result: T) => number): number {
  return results.length === 0 ? NaN : median(results.map(pick));
}

function ratio(of: (name: string) => number, [own, other]: [string, string]): string {
  return show(of(own) / of(other), "");
}

function show(value: number, unit: string): string {
  return Number.isFinite(value) ? value.toFixed(2) + unit : "-";
}

function mebibytes(bytes: number): string {
  return Number.isFinite(bytes) ? `${(bytes / 1024 / 1024).toFixed(0)} MiB` : "-";
}

function goalOf(job: string): string {
  return GOALS[job] === undefined ? "-" : `<= ${GOALS[job]}`;
}
