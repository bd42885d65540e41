/**
 * The real programs as child processes. `HOLDFAST_SERVER` and `HOLDFAST_CLIENT` replace the command, words separated by
 * spaces, so that the same tests run against compiled executables.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const START_MS = 20_000;

/** A command line with the permissions that the program is documented to need. */
function commandFor(program: "server" | "client", permissions: string[]): string[] {
  const replaced = Deno.env.get(`HOLDFAST_${program.toUpperCase()}`);
  if (replaced !== undefined) return replaced.split(" ");
  return [Deno.execPath(), "run", "--no-prompt", ...permissions, `${ROOT}${program}.ts`];
}

export const ALL_PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write"];
export const READ_PERMISSIONS = ["--allow-net", "--allow-read"];

const READ_WRITE_PERMISSIONS = ["--allow-read", "--allow-write"];

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the client to its end. */
export async function runClient(
  args: string[],
  { cwd, permissions = ALL_PERMISSIONS }: { cwd: string; permissions?: string[] },
): Promise<Finished> {
  const [program, ...words] = commandFor("client", permissions);
  const output = await new Deno.Command(program, {
    args: [...words, ...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: decode(output.stdout), stderr: decode(output.stderr) };
}

/** Runs a command of the server to its end. */
export async function runServer(...args: string[]): Promise<Finished> {
  const [program, ...words] = commandFor("server", READ_WRITE_PERMISSIONS);
  const output = await new Deno.Command(program, { args: [...words, ...args], stdin: "null" })
    .output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: decode(output.stdout), stderr: decode(output.stderr) };
}

export interface ServerOptions {
  dataPath: string;
  args?: string[];
  cwd?: string;
  /** Where it listens; a free port by default, null for what it finds itself. */
  classic?: string | null;
}

/** A running server. Its log is kept. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: Record<string, unknown>[] = [];
  readonly #reading: Promise<void>;
  readonly #waiters = new Set<() => void>();
  #ended = false;
  #pause: { over: Promise<void>; end: () => void } | undefined;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reading = this.#readLog();
  }

  /** Starts a server on a free port of the loopback interface and waits until it listens. */
  static async start(options: ServerOptions): Promise<
    ServerProcess
  > {
    const { dataPath, args = [], cwd, classic = "127.0.0.1:0" } = options;
    const address = classic === null ? [] : ["--classic", classic];
    if (!args.includes("--listen")) address.push("--listen", "127.0.0.1:0");
    const [program, ...words] = commandFor("server", ALL_PERMISSIONS);
    const child = new Deno.Command(program, {
      args: [...words, "--data", dataPath, "--log", "json", ...address, ...args],
      ...(cwd === undefined ? {} : { cwd }),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const server = new ServerProcess(child);
    try {
      await server.waitForEvent("listening");
    } catch (error) {
      await server.kill();
      throw error;
    }
    return server;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Port of the classic protocol. */
  get port(): number {
    const line = this.#lines.find((line) => line.event === "listening");
    return Number(String(line?.classic).split(":").at(-1));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Lines of the log so far, of one event or of all. */
  events(event?: string): Record<string, unknown>[] {
    return this.#lines.filter((line) => event === undefined || line.event === event);
  }

  /** Waits until the log has an event that fits. */
  async waitForEvent(
    event: string,
    fits: (line: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    const deadline = Date.now() + START_MS;
    for (;;) {
      const found = this.events(event).find(fits);
      if (found) return found;
      if (this.#ended || Date.now() > deadline) {
        throw new Error(`no "${event}" in the log:\n${JSON.stringify(this.#lines, null, 1)}`);
      }
      await this.#nextLine(deadline - Date.now());
    }
  }

  /** Ends it as an operator would. Returns the exit code, also of one that was stopped before. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    if (!this.#ended) this.#child.kill(signal);
    this.#pause?.end();
    const { code } = await this.#child.status;
    await this.#reading;
    return code;
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
    this.#pause?.end();
    await this.#child.status;
    await this.#reading;
  }

  /** Stops reading the log, as a terminal does that is halted, until the server is told to end. */
  haltLog(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pause = { over: promise, end: resolve };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #readLog(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      await this.#pause?.over;
      for (const part of parts) this.#lines.push(parseLine(part));
      for (const wake of this.#waiters) wake();
    }
    this.#ended = true;
    for (const wake of this.#waiters) wake();
  }

  async #nextLine(maxMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(maxMs, 0));
      this.#waiters.add(wake);
    });
  }
}

function parseLine(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch {
    return { event: "text", text };
  }
}

/** Runs a test with a folder of its own. */
export async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "holdfast-test-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Paths of all files below a folder, relative to it, in order. */
export function listFiles(folder: string, prefix = ""): string[] {
  const paths: string[] = [];
  for (const entry of Deno.readDirSync(`${folder}/${prefix}`)) {
    const path = `${prefix}${entry.name}`;
    if (entry.isDirectory) paths.push(...listFiles(folder, `${path}/`));
    else paths.push(path);
  }
  return paths.sort();
}

/** Files that a server stores for its clients, and what it is about to store. */
export function listStored(dataPath: string): string[] {
  return listFiles(dataPath).filter((path) => /^(files|tmp)\//.test(path));
}

/** Waits until something becomes true. */
export async function waitUntil(what: string, isTrue: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (isTrue()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`this did not become true in 10 s: ${what}`);
}
