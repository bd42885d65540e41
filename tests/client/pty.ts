/**
 * The client on a terminal: `script` (of Debian's bsdutils, which is always there) gives it one, and passes on what the
 * test types.
 */
import assert from "node:assert/strict";
import { join } from "node:path";

const CLIENT = new URL("../../client.ts", import.meta.url).pathname;
const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write"];
const WAIT_MS = 30_000;

/** Whether a terminal can be had here. */
export const HAS_TERMINAL = await canRun("script", "--version") &&
  await canRun("stty", "--version");

export class TerminalRun {
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder: string;
  readonly #reading: Promise<void>;
  #shown = "";
  #wake = () => {};
  #hasEnded = false;

  private constructor(child: Deno.ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.#keys = child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Starts the client on a terminal of its own. */
  static start(args: string[], cwd: string): TerminalRun {
    const folder = Deno.makeTempDirSync({ dir: cwd, prefix: "terminal-" });
    const executable = Deno.env.get("HOLDFAST_CLIENT");
    const run = [Deno.execPath(), "run", "--no-prompt", "--quiet", ...PERMISSIONS, CLIENT];
    const command = [...(executable === undefined ? run : [executable]), ...args].map(quote);
    // Ctrl-C ends the client, and not the shell; `script` ends with the status of the shell, which is the client's.
    const shell = [
      "trap : INT",
      `tty >${quote(join(folder, "tty"))}`,
      command.join(" "),
      "code=$?",
      `stty -a >${quote(join(folder, "after"))}`,
      "exit $code",
    ].join("; ");
    const child = new Deno.Command("script", {
      args: ["-qec", shell, "/dev/null"],
      cwd,
      env: { SHELL: "/bin/sh", NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    return new TerminalRun(child, folder);
  }

  /** All that the terminal has shown. */
  get shown(): string {
    return this.#shown;
  }

  /** Waits until the terminal shows this, and gives what it has shown up to then. */
  async waitFor(text: string, { times = 1 }: { times?: number } = {}): Promise<string> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, WAIT_MS);
    try {
      while (this.#shown.split(text).length <= times) {
        if (isLate || this.#hasEnded) assert.fail(`"${text}" was not shown:\n${this.#shown}`);
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
      return this.#shown;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Types as it is; a return key is `\r`, Ctrl-C `\x03`. */
  async type(text: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(text));
  }

  /** Whether the terminal shows what is typed, once it is as it should be or does not become so. */
  async waitForEcho(expected: boolean): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    const path = Deno.readTextFileSync(join(this.#folder, "tty")).trim();
    for (;;) {
      const { stdout } = await new Deno.Command("stty", { args: ["-F", path, "-a"] }).output();
      if (hasEcho(new TextDecoder().decode(stdout)) === expected) return;
      assert.ok(Date.now() < deadline, `echo is ${expected ? "off" : "on"}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Waits for its end: the exit code, all that was shown, and whether the terminal echoes again. */
  async end(): Promise<{ code: number; shown: string; echoes: boolean }> {
    const { code } = await this.#child.status;
    await this.#reading;
    await this.#keys.close().catch(() => {}); // nobody reads it any more
    const after = Deno.readTextFileSync(join(this.#folder, "after"));
    return { code, shown: this.#shown, echoes: hasEcho(after) };
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#shown += text;
      this.#wake();
    }
    this.#hasEnded = true;
    this.#wake();
  }
}

function hasEcho(settings: string): boolean {
  return /(^|\s)echo(\s|$)/m.test(settings);
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

async function canRun(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output())
      .success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
