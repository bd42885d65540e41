/**
 * A server, a vault and a device in this process: so a fault costs milliseconds, and the disk and the network between
 * them can be meddled with. Its state can be kept, and be had again for the next fault.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Log } from "../../lib/log.ts";
import { runProgram } from "../../lib/program.ts";
import { BACKUP_COMMAND } from "../../lib/client/backup.ts";
import { CHECK_COMMAND } from "../../lib/client/check.ts";
import { DEVICES_COMMAND } from "../../lib/client/devices.ts";
import { FORGET_COMMAND } from "../../lib/client/forget.ts";
import { INIT_COMMAND } from "../../lib/client/init.ts";
import { INVITE_COMMAND as CLIENT_INVITE_COMMAND } from "../../lib/client/invite.ts";
import { KEYS_COMMAND } from "../../lib/client/keys.ts";
import { POLICY_COMMAND } from "../../lib/client/policy.ts";
import { RESTORE_COMMAND } from "../../lib/client/restore.ts";
import { SNAPSHOTS_COMMAND } from "../../lib/client/snapshots.ts";
import { UNFORGET_COMMAND } from "../../lib/client/unforget.ts";
import { GC_COMMAND } from "../../lib/server/gc.ts";
import { INVITE_COMMAND } from "../../lib/server/invite.ts";
import { PARITY_COMMAND } from "../../lib/server/parity_command.ts";
import { QUOTA_COMMAND } from "../../lib/server/quota_command.ts";
import { REBUILD_COMMAND } from "../../lib/server/rebuild.ts";
import { SCRUB_COMMAND } from "../../lib/server/scrub_command.ts";
import { VAULTS_COMMAND } from "../../lib/server/vaults.ts";
import { Oracle, type OracleState } from "./oracle.ts";
import type { Random } from "./random.ts";
import { ShiftedClock, startService, type TestService } from "./service.ts";
import type { Ran, Site } from "./site.ts";

const CLIENT = {
  name: "client",
  intro: "",
  outro: "",
  commands: {
    init: INIT_COMMAND,
    invite: CLIENT_INVITE_COMMAND,
    backup: BACKUP_COMMAND,
    restore: RESTORE_COMMAND,
    check: CHECK_COMMAND,
    snapshots: SNAPSHOTS_COMMAND,
    devices: DEVICES_COMMAND,
    forget: FORGET_COMMAND,
    unforget: UNFORGET_COMMAND,
    keys: KEYS_COMMAND,
    policy: POLICY_COMMAND,
  },
  defaultCommand: () => undefined,
};

const SERVER = {
  ...CLIENT,
  name: "server",
  commands: {
    invite: INVITE_COMMAND,
    gc: GC_COMMAND,
    scrub: SCRUB_COMMAND,
    parity: PARITY_COMMAND,
    rebuild: REBUILD_COMMAND,
    quota: QUOTA_COMMAND,
    vaults: VAULTS_COMMAND,
  },
};

/** What a stage was at some time; its files are in a folder of their own. */
export interface StageState {
  path: string;
  oracle: OracleState;
  aheadMs: number;
}

export class Stage implements Site {
  readonly folder: string;
  readonly oracle: Oracle;
  readonly clock = new ShiftedClock();
  /** What the server has logged since its last start. */
  logged = "";
  /** What clients connect to in place of the server, if they do. */
  clientPort: number | undefined;
  #port = 0;
  #service: TestService | undefined;
  #states = 0;

  private constructor(folder: string, random: Random) {
    this.folder = folder;
    this.oracle = new Oracle(this.source, random);
  }

  /** Makes a server and an empty vault on it. */
  static async create(
    folder: string,
    { random, onServer }: { random: Random; onServer?: (stage: Stage) => void },
  ): Promise<Stage> {
    const stage = new Stage(folder, random);
    Deno.mkdirSync(stage.source);
    Deno.mkdirSync(stage.dataPath);
    onServer?.(stage);
    await stage.startServer();
    try {
      await stage.init(await stage.invite(), "profile");
      return stage;
    } catch (error) {
      await stage.stopServer();
      throw error;
    }
  }

  get source(): string {
    return join(this.folder, "source");
  }

  get dataPath(): string {
    return join(this.folder, "data");
  }

  get profile(): string {
    return join(this.folder, "profile");
  }

  get nowMs(): number {
    return this.clock.wall();
  }

  get port(): number {
    return this.#port;
  }

  get service(): TestService {
    assert.ok(this.#service, "the server runs");
    return this.#service;
  }

  /** Starts the server, always on the same port. */
  async startServer(): Promise<void> {
    this.logged = "";
    const sink = {
      write: (bytes: Uint8Array) => {
        this.logged += new TextDecoder().decode(bytes);
        return Promise.resolve(bytes.length);
      },
    };
    const log = new Log({ format: "text", sink, now: this.clock.wall });
    const { dataPath, clock } = this;
    this.#service = await startService({ dataPath, clock, log, port: this.#port });
    this.#port = this.#service.address.port;
  }

  async stopServer(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    await service?.stop();
  }

  async restartServer(between: () => void | Promise<void> = () => {}): Promise<void> {
    await this.stopServer();
    await between();
    await this.startServer();
  }

  /** A line that begins a vault. */
  async invite(): Promise<string> {
    const { code, stdout, stderr } = await this.server(
      "invite",
      ...["--address", `127.0.0.1:${this.clientPort ?? this.#port}`],
    );
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  /** Lets another device into the vault. Its profile is a folder of the stage of that name. */
  async join(name: string, role: "writer" | "reader" | "owner"): Promise<void> {
    const invite = await this.client("invite", "--role", role);
    assert.equal(invite.code, 0, invite.stderr);
    await this.init(invite.stdout.trim(), name);
  }

  /** Makes a profile in a folder of the stage, by an invite. */
  async init(invite: string, name: string): Promise<void> {
    const file = ["--recovery-file", join(this.folder, `${name}-code`)];
    const profile = ["--profile", join(this.folder, name), "--device", name];
    const isFirst = invite.includes("/new/");
    const made = await this.client("init", invite, ...profile, ...(isFirst ? file : []));
    assert.equal(made.code, 0, made.stderr);
  }

  /** Runs a command of the client, with the stage's profile unless another is named. */
  client(...args: string[]): Promise<Ran> {
    const profile = args.includes("--profile") ? [] : ["--profile", this.profile];
    return captured(() => runProgram(CLIENT, [...args, ...profile]));
  }

  /** Runs a command of the server. */
  server(...args: string[]): Promise<Ran> {
    return captured(() => runProgram(SERVER, [...args, "--data", this.dataPath]));
  }

  /** Keeps folders of the stage, such as `data` and `profile`; `data` only while the server is stopped. */
  save(...parts: string[]): StageState {
    const path = join(this.folder, `state${this.#states++}`);
    Deno.mkdirSync(path);
    for (const part of parts) copyTree(join(this.folder, part), join(path, part));
    return { path, oracle: this.oracle.save(), aheadMs: this.clock.aheadMs };
  }

  /** Puts a state in place of the present one; the server must not run. */
  async load(state: StageState): Promise<void> {
    for (const { name } of Deno.readDirSync(state.path)) {
      const target = join(this.folder, name);
      await removeTree(target);
      copyTree(join(state.path, name), target);
    }
    this.oracle.load(state.oracle);
    this.clock.aheadMs = state.aheadMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
  }
}

/** Copies a folder with modes and times. */
export function copyTree(from: string, to: string): void {
  const { success, stderr } = new Deno.Command("cp", { args: ["-a", from, to] }).outputSync();
  assert.ok(success, new TextDecoder().decode(stderr));
}

export async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** What a command writes while it runs. One at a time: there is one standard output. */
async function captured(run: () => Promise<number>): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const { writeSync: out } = Deno.stdout;
  const { writeSync: err } = Deno.stderr;
  const keep = (name: keyof typeof written) => (bytes: Uint8Array) => {
    written[name] += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  Deno.stdout.writeSync = keep("stdout");
  Deno.stderr.writeSync = keep("stderr");
  try {
    const code = await run();
    return { code, ...written };
  } finally {
    Deno.stdout.writeSync = out;
    Deno.stderr.writeSync = err;
  }
}
