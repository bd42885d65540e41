/** A real server, a vault on it, and any number of devices: for what devices do to each other. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { TestServer } from "./backup_fixture.ts";
import { type Ran, runClient } from "./run_client.ts";

export class DeviceBench {
  readonly folder: string;
  readonly server: TestServer;

  private constructor(folder: string) {
    this.folder = folder;
    this.server = new TestServer(folder);
  }

  /** With an owner device named `owner`, whose recovery code is in the file `code`. */
  static async create(folder: string): Promise<DeviceBench> {
    const bench = new DeviceBench(folder);
    await bench.server.start();
    const code = ["--recovery-file", join(folder, "code")];
    await bench.must("owner", "init", await bench.server.invite(), "--device", "owner", ...code);
    return bench;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Runs the client with the profile of a device. */
  run(device: string, ...args: string[]): Promise<Ran> {
    const [command, ...rest] = args;
    const profile = ["--profile", this.path(device)];
    return runClient([command, ...rest, ...profile], { cwd: this.folder });
  }

  /** The same; it must end well. */
  async must(device: string, ...args: string[]): Promise<Ran> {
    const ran = await this.run(device, ...args);
    assert.equal(ran.code, 0, `${args[0]} by ${device}: ${ran.stderr}`);
    return ran;
  }

  /** Objects that a command gives. */
  async json(device: string, ...args: string[]): Promise<Fields[]> {
    const { stdout } = await this.must(device, ...args, "--json");
    return stdout.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  /** Lets a device in that is named like its profile. */
  async join(name: string, role: "writer" | "reader" | "owner", by = "owner"): Promise<void> {
    const invited = await this.must(by, "invite", "--role", role);
    await this.must(name, "init", invited.stdout.trim(), "--device", name);
  }

  /** Files below a folder of this name, and the folder's path. */
  write(name: string, files: Record<string, string | Uint8Array>): string {
    const folder = this.path(name);
    for (const [path, content] of Object.entries(files)) {
      const parts = path.split("/").slice(0, -1);
      Deno.mkdirSync(join(folder, ...parts), { recursive: true });
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      Deno.writeFileSync(join(folder, path), bytes);
    }
    return folder;
  }

  /** Restores a snapshot and compares all files with what they must be. */
  async checkRestore(
    device: string,
    { snapshot, source, files }: {
      snapshot: string;
      source: string;
      files: Record<string, string | Uint8Array>;
    },
  ): Promise<void> {
    const to = Deno.makeTempDirSync({ dir: this.folder });
    await this.must(device, "restore", snapshot, "--to", to);
    for (const [path, content] of Object.entries(files)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      assert.deepEqual(Deno.readFileSync(join(to, source, path)), bytes, path);
    }
  }
}

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
export type Fields = any;

export async function withDevices(test: (bench: DeviceBench) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-" });
  const bench = await DeviceBench.create(folder);
  try {
    await test(bench);
  } finally {
    await bench.server.stop("SIGKILL");
    Deno.removeSync(folder, { recursive: true });
  }
}
