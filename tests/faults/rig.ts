/** A server and a client as programs that can be killed at any moment. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Database } from "../../lib/db.ts";
import { Oracle } from "./oracle.ts";
import type { Random } from "./random.ts";
import type { Ran, Site } from "./site.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "..", "..");

/** A program that runs. */
export interface Running {
  kill: () => void;
  signal: (signal: Deno.Signal) => void;
  ended: Promise<Ran>;
}

export class Rig implements Site {
  readonly folder: string;
  readonly oracle: Oracle;
  aheadMs = 0;
  #port = 0;
  #server: Deno.ChildProcess | undefined;

  constructor(folder: string, random: Random) {
    this.folder = folder;
    this.oracle = new Oracle(this.source, random);
  }

  get source(): string {
    return join(this.folder, "source");
  }

  get dataPath(): string {
    return join(this.folder, "data");
  }

  /** By the server's clock. */
  get nowMs(): number {
    return Date.now() + this.aheadMs;
  }

  get isServing(): boolean {
    return this.#server !== undefined;
  }

  async prepare(): Promise<void> {
    Deno.mkdirSync(this.source);
    await this.startServer();
    const address = `127.0.0.1:${this.#port}`;
    const invite = await this.server("invite", "--data", this.dataPath, "--address", address).ended;
    const file = ["--recovery-file", join(this.folder, "code")];
    const made = await this.client("init", invite.stdout.trim(), "--device", "test", ...file);
    assert.equal(made.code, 0, made.stderr);
  }

  async startServer(): Promise<void> {
    const args = [this.dataPath, String(this.#port), String(this.aheadMs)];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "-A", join(HERE, "server_child.ts"), ...args],
      ...{ stdin: "null", stdout: "piped", stderr: "null" },
    }).spawn();
    this.#server = child;
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#port = Number(text);
      return;
    }
    assert.fail("the server does not start");
  }

  signalServer(signal: Deno.Signal): void {
    this.#server?.kill(signal);
  }

  /** Ends the server as a power cut does. */
  async killServer(): Promise<void> {
    const child = this.#server;
    this.#server = undefined;
    if (child === undefined) return;
    child.kill("SIGKILL");
    await child.status;
  }

  /** Lets time pass, the server being down: so its sessions have not been used for so long either. */
  passTime(ms: number): void {
    this.aheadMs += ms;
    const db = Database.open(join(this.dataPath, "holdfast.db"));
    db.sql.run("UPDATE sessions SET fenced = 1");
    db.close();
  }

  client(...args: string[]): Promise<Ran> {
    return this.start(...args).ended;
  }

  /** Starts a client, with the rig's profile unless another is named. */
  start(...args: string[]): Running {
    const profile = args.includes("--profile") ? [] : ["--profile", join(this.folder, "profile")];
    return run("client.ts", [...args, ...profile]);
  }

  server(...args: string[]): Running {
    return run("server.ts", args);
  }
}

function run(script: string, args: string[]): Running {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "-A", join(ROOT, script), ...args],
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const signal = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
  };
  return {
    signal,
    kill: () => signal("SIGKILL"),
    ended: child.output().then(({ code, stdout, stderr }) => ({
      ...{ code, stdout: decode(stdout), stderr: decode(stderr) },
    })),
  };
}
