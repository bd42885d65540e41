/**
 * The systems that are compared, each with a fresh repository for each job: ours over TLS to our own server, restic over
 * its REST protocol to `rclone serve restic`, Borg with a local repository. All with their defaults.
 */
import { join } from "node:path";
import config from "../deno.json" with { type: "json" };
import { findVersion, output, type Run } from "./measure.ts";

const SERVER = taskArgs(config.tasks.server);
const CLIENT = taskArgs(config.tasks.client);
const BARE = taskArgs(config.tasks.client, "bench/bare.ts");
const LISTEN_MS = 10_000;
const SECRET = "bench";

/** A place for one client's backups. */
export interface Repository {
  backup(source: string): Run;
  /** Everything gets its whole path below `to`. */
  restore(to: string): Run;
}

/** A server, or what stands for it. */
export interface Place {
  /** Of the server's process, if there is one. */
  pid: number | undefined;
  /** Where everything that is stored lies. */
  data: string;
  open(name: string): Promise<Repository>;
  stop(): Promise<void>;
}

export interface Peer {
  name: string;
  version: string;
  /** @param folder new, for all that it writes */
  start(folder: string): Promise<Place>;
}

/** Those that are installed, ours first; of the others it is said that they are not. With `bare.ts` if that is asked for. */
export async function findPeers({ isBare }: { isBare: boolean }): Promise<Peer[]> {
  const peers: Peer[] = [{
    name: "holdfast",
    version: (await output(client("--version"))).trim(),
    start: startHoldfast,
  }];
  const restic = await findVersion("restic", ["version"]);
  const rclone = await findVersion("rclone", ["version"]);
  if (restic === undefined || rclone === undefined) {
    console.log("restic, or rclone for its server, is not installed: not compared");
  } else peers.push({ name: "restic", version: `${restic}, ${rclone}`, start: startRestic });
  const borg = await findVersion("borg", ["--version"]);
  if (borg === undefined) console.log("borg is not installed: not compared");
  else peers.push({ name: "borg", version: borg, start: startBorg });
  if (isBare) {
    const version = "the runtime's calls that no backup can do without, and nothing else";
    peers.push({ name: "bare", version, start: startBare });
  }
  return peers;
}

/** A run of our client. */
export function client(...args: string[]): Run {
  return { command: Deno.execPath(), args: [...CLIENT, ...args] };
}

/** A run of a command of our server, which may run beside it. */
export function server(...args: string[]): Run {
  return { command: Deno.execPath(), args: [...SERVER, ...args] };
}

/** Takes over what lies in `data` below the folder, if there is something. */
export async function startHoldfast(folder: string): Promise<Place> {
  const data = join(folder, "data");
  const serve = ["serve", "--data", data, "--classic", "off", "--listen", "127.0.0.1:0"];
  const child = start(server(...serve), "piped");
  const address = await readAddress(child.stderr);
  const open = async (name: string): Promise<Repository> => {
    const invite = server("invite", "--data", data, "--address", address);
    const line = (await output(invite)).trim();
    const profile = ["--profile", join(folder, `profile ${name}`)];
    await output(client("init", line, ...profile, "--recovery-file", join(folder, `code ${name}`)));
    return {
      backup: (source) => client("backup", source, ...profile),
      restore: (to) => client("restore", "latest", "--to", to, ...profile),
    };
  };
  return { pid: child.pid, data, open, stop: () => stop(child) };
}

async function startRestic(folder: string): Promise<Place> {
  const data = join(folder, "data");
  const address = `127.0.0.1:${findFreePort()}`;
  const serve = ["serve", "restic", "--config", "", "--addr", address, data];
  const child = start({ command: "rclone", args: serve }, "null");
  await waitForPort(address);
  const open = async (name: string): Promise<Repository> => {
    const env = { RESTIC_PASSWORD: SECRET, RESTIC_CACHE_DIR: join(folder, `cache ${name}`) };
    const args = ["--quiet", "--repo", `rest:http://${address}/${name}`];
    const run = (...rest: string[]): Run => ({ command: "restic", args: [...args, ...rest], env });
    await output(run("init"));
    return {
      backup: (source) => run("backup", source),
      restore: (to) => run("restore", "latest", "--target", to),
    };
  };
  return { pid: child.pid, data, open, stop: () => stop(child) };
}

async function startBorg(folder: string): Promise<Place> {
  const data = join(folder, "data");
  Deno.mkdirSync(data);
  const open = async (name: string): Promise<Repository> => {
    const env = { BORG_PASSPHRASE: SECRET, BORG_BASE_DIR: join(folder, `base ${name}`) };
    const repository = join(data, name);
    const run = (...args: string[]): Run => ({ command: "borg", args, env });
    await output(run("init", "--encryption", "repokey-blake2", repository));
    let number = 0;
    return {
      backup: (source) => run("create", `${repository}::${++number}`, source),
      restore: (to) => {
        Deno.mkdirSync(to);
        return { ...run("extract", `${repository}::${number}`), cwd: to };
      },
    };
  };
  return { pid: undefined, data, open, stop: async () => {} };
}

async function startBare(folder: string): Promise<Place> {
  const data = join(folder, "data");
  Deno.mkdirSync(data);
  const run = (...args: string[]): Run => ({ command: Deno.execPath(), args: [...BARE, ...args] });
  const child = start(run("serve", data), "piped");
  const address = await readAddress(child.stderr);
  const open = (name: string): Promise<Repository> =>
    Promise.resolve({
      backup: (source) => run("backup", data, name, address, source),
      restore: (to) => run("restore", data, name, address, to),
    });
  return { pid: child.pid, data, open, stop: () => stop(child) };
}

function start({ command, args }: Run, stderr: "piped" | "null"): Deno.ChildProcess {
  return new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr }).spawn();
}

async function stop(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  await child.status;
}

/** Where our server says that it listens. Its log is read on, so that it never waits. */
async function readAddress(stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const [own, rest] = stderr.tee();
  void rest.pipeTo(new WritableStream());
  let log = "";
  for await (const text of own.pipeThrough(new TextDecoderStream())) {
    log += text;
    const match = /127\.0\.0\.1:\d+/.exec(log);
    if (match !== null) return match[0];
  }
  throw new Error(`The server does not listen: ${log}`);
}

/** What follows `deno` where a task runs one of our programs, or another in its place. */
function taskArgs(task: string, other?: string): string[] {
  const [, run, ...rest] = task.split(" ");
  const own = rest.pop()!;
  return [run, "--quiet", ...rest, new URL(`../${other ?? own}`, import.meta.url).pathname];
}

function findFreePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

async function waitForPort(address: string): Promise<void> {
  const [hostname, port] = address.split(":");
  const until = performance.now() + LISTEN_MS;
  for (;;) {
    try {
      return (await Deno.connect({ hostname, port: Number(port) })).close();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
