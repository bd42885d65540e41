/** Runs programs and measures them: time, processor time, and the most memory that they had (Linux tells the last two). */
const POLL_MS = 20;
const TICKS_PER_SECOND = 100;

export interface Measured {
  seconds: number;
  /** Of all threads. */
  cpuSeconds: number;
  /** Highest resident memory, bytes. */
  peakBytes: number;
}

/** A program with its arguments, and how it is to be run. */
export interface Run {
  command: string;
  args: string[];
  env?: Record<string, string>;
  cwd?: string;
}

/** Runs a program to its end. What it used in its last 20 ms is not counted. */
export async function measure(run: Run): Promise<Measured> {
  const startedAt = performance.now();
  const child = spawn(run);
  const reading = new Response(child.stderr).text();
  let [cpuSeconds, peakBytes] = [0, 0];
  const timer = setInterval(() => {
    cpuSeconds = Math.max(cpuSeconds, readCpuSeconds(child.pid));
    peakBytes = Math.max(peakBytes, readPeakBytes(child.pid));
  }, POLL_MS);
  const { code } = await child.status;
  clearInterval(timer);
  const seconds = (performance.now() - startedAt) / 1000;
  if (code !== 0) throw new Error(`${run.command} ended with ${code}: ${await reading}`);
  return { seconds, cpuSeconds, peakBytes };
}

/** Runs a program to its end, and gives what it says. */
export async function output({ command, ...options }: Run): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, options).output();
  if (code !== 0) {
    throw new Error(`${command} ended with ${code}: ${new TextDecoder().decode(stderr)}`);
  }
  return new TextDecoder().decode(stdout);
}

/** Waits until the disk has all that was written, where there is `sync`: whoever flushes would wait for what others left. */
export async function flushDisks(): Promise<void> {
  try {
    await output({ command: "sync", args: [] });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** First line of what a program says of itself; undefined where it is not installed. */
export async function findVersion(command: string, args: string[]): Promise<string | undefined> {
  try {
    return (await output({ command, args })).split("\n")[0];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** 0 when the process has ended, or the system does not tell. */
export function readPeakBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readProc(pid, "status"))?.[1] ?? 0) * 1024;
}

/** Of all threads; 0 when the process has ended, or the system does not tell. */
export function readCpuSeconds(pid: number): number {
  const fields = readProc(pid, "stat").split(") ").at(-1)!.split(" ");
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** The middle one, or the lower of two. */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}

function spawn({ command, ...options }: Run) {
  return new Deno.Command(command, {
    ...options,
    ...{ stdin: "null", stdout: "null", stderr: "piped" } as const,
  }).spawn();
}

function readProc(pid: number, name: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${name}`);
  } catch {
    return ""; // it has ended, or this is not Linux
  }
}
