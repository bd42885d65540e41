/** What tests of backups need: a real server, a vault on it, and a look into its snapshots. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { openVault, type VaultAccess } from "../../lib/client/vault_access.ts";
import { importReadKeys } from "../../lib/client/profile.ts";
import { ProfileFolder } from "../../lib/client/profile_folder.ts";
import type { Entry } from "../../lib/vault/entry.ts";
import { openRoot, type Root, rootSession } from "../../lib/vault/root.ts";
import { openRecord, type RecordContent } from "../../lib/vault/seal.ts";
import {
  openSession,
  type Reference,
  type Session,
  sessionEpoch,
  unmaskKey,
} from "../../lib/vault/session.ts";
import { readExtents, walkEntries } from "../../lib/vault/tree_reader.ts";
import { type Ran, runClient, startClient } from "./run_client.ts";

const SERVER = new URL("../../server.ts", import.meta.url).pathname;

/** A server as a program of its own. */
export class TestServer {
  readonly dataPath: string;
  port = 0;
  /** What it has logged since it was started last. */
  log = "";
  #child: Deno.ChildProcess | undefined;

  readonly #args: string[];

  /** @param args more flags of `server serve` */
  constructor(folder: string, args: string[] = []) {
    this.dataPath = join(folder, "data");
    this.#args = args;
  }

  get pid(): number {
    return this.#child!.pid;
  }

  /** Starts it, and waits until it listens; again on the same port. */
  async start(): Promise<void> {
    const child = this.#command([
      ...["serve", "--data", this.dataPath, "--classic", "off", "--log", "json"],
      ...["--listen", `127.0.0.1:${this.port}`, ...this.#args],
    ]).spawn();
    this.#child = child;
    this.log = "";
    let port: string | undefined;
    const listening = Promise.withResolvers<string>();
    const note = new WritableStream<string>({
      write: (text) => {
        this.log += text;
        port ??= /127\.0\.0\.1:(\d+)\D/.exec(this.log)?.[1];
        if (port !== undefined) listening.resolve(port);
      },
      close: () => listening.reject(new Error(`the server does not listen: ${this.log}`)),
    });
    void child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(note); // to its end: a full pipe would stop it
    this.port = Number(await listening.promise);
  }

  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill(signal);
    await child.status;
  }

  async invite(): Promise<string> {
    const address = `127.0.0.1:${this.port}`;
    const args = ["invite", "--data", this.dataPath, "--address", address];
    const { stdout } = await this.#command(args).output();
    return new TextDecoder().decode(stdout).trim();
  }

  /** Runs another command of the server to its end. */
  async run(...args: string[]): Promise<Ran> {
    const { code, stdout, stderr } = await this.#command([...args, "--data", this.dataPath], {
      stderr: "piped",
    }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  #command(
    args: string[],
    { stderr = args[0] === "serve" ? "piped" : "inherit" }: { stderr?: "piped" | "inherit" } = {},
  ): Deno.Command {
    const permissions = ["--allow-net", "--allow-read", "--allow-write"];
    return new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--quiet", ...permissions, SERVER, ...args],
      stdout: "piped",
      stderr,
    });
  }
}

/** A vault with one owner device, and a folder to back up. */
export interface BackupBench {
  server: TestServer;
  folder: string;
  /** What is backed up. */
  source: string;
  profile: string;
  /** Runs `client backup --json` of the source. */
  backup: (...args: string[]) => Promise<BackupRan>;
  start: (...args: string[]) => Deno.ChildProcess;
}

export interface BackupRan extends Ran {
  // deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
  summary: any;
}

export async function withBackupBench(test: (bench: BackupBench) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-" });
  const server = new TestServer(folder);
  try {
    await server.start();
    const profile = join(folder, "profile");
    const code = ["--recovery-file", join(folder, "code")];
    const args = ["init", await server.invite(), "--profile", profile, "--device", "test", ...code];
    const made = await runClient(args, { cwd: folder });
    assert.equal(made.code, 0, made.stderr);
    const source = join(folder, "source");
    Deno.mkdirSync(source);
    const command = ["backup", source, "--profile", profile, "--json"];
    await test({
      ...{ server, folder, source, profile },
      backup: async (...more) => summarize(await runClient([...command, ...more], { cwd: folder })),
      start: (...more) => startClient([...command, ...more], { cwd: folder }),
    });
  } finally {
    await server.stop("SIGKILL");
    Deno.removeSync(folder, { recursive: true });
  }
}

export function summarize(ran: Ran): BackupRan {
  const line = ran.stdout.trim().split("\n").at(-1) ?? "";
  return { ...ran, summary: line.startsWith("{") ? JSON.parse(line) : undefined };
}

/** Files that were changed before this are not looked at again by the next backup. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1050 - Date.now() % 1000));
}

/** A snapshot as a reader of the vault sees it. */
export interface SnapshotView {
  root: Root;
  entries: Map<string, Entry>;
  contents: (path: string) => Promise<Uint8Array>;
}

export async function viewSnapshot(
  profile: string,
  snapshot: string,
  look: (view: SnapshotView) => Promise<void>,
): Promise<void> {
  const vault = await openVault(new ProfileFolder(profile));
  try {
    const load = await makeLoad(vault);
    const id = Uint8Array.fromHex(snapshot);
    const record = await vault.session.getOne(id);
    assert.ok(record, "the root is there");
    const root = await openRoot(record, { id, session: await load.session(rootSession(record)) });
    const entries = new Map<string, Entry>();
    for await (const entry of walkEntries(root, { load: load.record })) {
      entries.set(entry.path, entry);
    }
    const contents = (path: string) => readContents(entries.get(path)!, load.record);
    await look({ root, entries, contents });
  } finally {
    vault.session.close();
  }
}

interface Load {
  session: (id: Uint8Array) => Promise<Session>;
  record: (reference: Reference) => Promise<RecordContent>;
}

async function makeLoad({ profile, session }: VaultAccess): Promise<Load> {
  const readKeys = await importReadKeys(profile.keyring);
  const sessions = new Map<string, Session>();
  const get = async (id: Uint8Array) => {
    const record = await session.getOne(id);
    assert.ok(record, `record ${id.toHex()} is there`);
    return record;
  };
  const findSession = async (id: Uint8Array) => {
    const known = sessions.get(id.toHex());
    if (known !== undefined) return known;
    const record = await get(id);
    const readKey = readKeys[sessionEpoch(record, id) - 1]!;
    const opened = await openSession(record, { id, vaultId: profile.vaultId, readKey });
    sessions.set(id.toHex(), opened);
    return opened;
  };
  const records = new Map<string, RecordContent>();
  return {
    session: findSession,
    record: async (reference) => {
      const { id } = reference;
      const known = records.get(id.toHex());
      if (known !== undefined) return known;
      const key = unmaskKey(await findSession(reference.session), reference);
      const content = openRecord(await get(id), { id, key });
      records.set(id.toHex(), content);
      if (records.size > 20) records.delete(records.keys().next().value!);
      return content;
    },
  };
}

async function readContents(entry: Entry, load: Load["record"]): Promise<Uint8Array> {
  const bytes = new Uint8Array(entry.size);
  const known = new Map<Reference, RecordContent>();
  let at = 0;
  for await (const { reference, offset, length } of readExtents(entry, load)) {
    if (reference !== undefined) {
      const content = known.get(reference) ?? await load(reference);
      known.set(reference, content);
      bytes.set(content.plaintext.subarray(offset, offset + length), at);
    }
    at += length;
  }
  return bytes;
}

/** Every regular file below a folder, with its bytes, by path. */
export function readTree(folder: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { name, isFile, isDirectory } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isFile) files.set(path, Deno.readFileSync(path));
    if (isDirectory) { for (const [inner, bytes] of readTree(path)) files.set(inner, bytes); }
  }
  return files;
}

/** Compares all regular files below the source with a snapshot. */
export async function checkContents(bench: BackupBench, snapshot: string): Promise<void> {
  await viewSnapshot(bench.profile, snapshot, async ({ entries, contents }) => {
    const files = readTree(bench.source);
    for (const [path, bytes] of files) {
      assert.ok(entries.has(path), `${path} is there`);
      assert.ok(Buffer.compare(await contents(path), bytes) === 0, `${path} is the same`);
    }
    const count = [...entries.values()].filter(({ type }) => type === "file").length;
    assert.equal(count, files.size);
  });
}
