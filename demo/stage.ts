/** What both parts of the demo need: the real programs as processes, and comparisons. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every connection of a client has these; they would hide the rest. */
const QUIET_EVENTS = ["logged in", "connection ended"];
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-read", "--allow-write"];

export function say(text: string): void {
  console.log(`* ${text}`);
}

/** Runs the client or the server to its end, and gives what it printed. */
export async function runProgram(
  program: "client" | "server",
  args: string[],
  { cwd, show = true }: { cwd: string; show?: boolean },
): Promise<string> {
  if (show) console.log(`  $ ${program} ${args.map(shorten).join(" ")}`);
  const output = await new Deno.Command(Deno.execPath(), {
    args: programArgs(program, args),
    cwd,
    stdin: "null",
  }).output();
  const stdout = new TextDecoder().decode(output.stdout);
  const stderr = new TextDecoder().decode(output.stderr);
  for (const line of `${show ? stdout : ""}${stderr}`.split("\n")) {
    if (line !== "") console.log(`  ${line}`);
  }
  if (output.code !== 0) throw new Error(`${program} ended with exit code ${output.code}`);
  return stdout;
}

/** A running server, whose log is shown. */
export class DemoServer {
  readonly #child: Deno.ChildProcess;
  readonly #log: Promise<void>;
  readonly #addresses = Promise.withResolvers<{ classic: string; vault: string }>();

  constructor(args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: programArgs("server", [...args, "--log", "json"]),
      stdin: "null",
      stderr: "piped",
    }).spawn();
    this.#log = this.#showLog();
  }

  /** Where it listens. */
  addresses(): Promise<{ classic: string; vault: string }> {
    return this.#addresses.promise;
  }

  /** Ends it as an operator would. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const { code } = await this.#child.status;
    await this.#log;
    if (code !== 0) throw new Error(`the server ended with exit code ${code}`);
  }

  async #showLog(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#showLine(line);
    }
    this.#addresses.reject(new Error("the server did not start"));
  }

  #showLine(line: string): void {
    const { time: _time, level: _level, event, ...fields } = JSON.parse(line);
    if (event === "listening") this.#addresses.resolve(fields);
    if (QUIET_EVENTS.includes(event)) return;
    const values = Object.entries(fields).map(([name, value]) => `${name}=${shorten(`${value}`)}`);
    console.log(`  server: ${event} ${values.join(" ")}`);
  }
}

/** Paths of all files below a folder, relative to it. */
export function* listFiles(folder: string, prefix = ""): Generator<string> {
  for (const entry of Deno.readDirSync(join(folder, prefix))) {
    const path = join(prefix, entry.name);
    if (entry.isDirectory) yield* listFiles(folder, path);
    else yield path;
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Bytes that look like data: half of them text, half of them random. */
export function makeContent(size: number): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(size);
  const text = new TextEncoder().encode("All work and no backup makes a sad admin.\n");
  for (let i = 0; i < size / 2; i++) content[i] = text[i % text.length];
  for (let i = size / 2; i < size; i += 65536) {
    crypto.getRandomValues(content.subarray(i, i + 65536));
  }
  return content;
}

function programArgs(program: string, args: string[]): string[] {
  const path = fileURLToPath(new URL(`../${program}.ts`, import.meta.url));
  return ["run", ...PERMISSIONS, path, ...args];
}

function shorten(text: string): string {
  return text.length > 60 ? text.slice(0, 40) + "..." : text;
}
