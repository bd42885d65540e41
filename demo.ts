/**
 * Shows the system at work, with the real programs: a server on a free port of this machine, a client that registers and
 * sends a file, a second file by login, and a look at what is stored. Everything is in a temporary folder.
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatByteSize } from "./lib/flags.ts";

const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-read", "--allow-write"];
const FILE_BYTES = 8 * 1024 * 1024;

const folder = await Deno.makeTempDir({ prefix: "holdfast-demo-" });
const dataPath = join(folder, "server-data");
const clientPath = join(folder, "client");
await Deno.mkdir(clientPath);

const server = new Deno.Command(Deno.execPath(), {
  args: programArgs(
    "server",
    "--classic",
    "127.0.0.1:0",
    "--listen",
    "off",
    "--data",
    dataPath,
    "--log",
    "json",
  ),
  stdin: "null",
  stderr: "piped",
}).spawn();
let exitCode = 1;
try {
  const { address, logEnd } = await followLog(server.stderr);
  say(`server started on ${address}, data in ${dataPath}`);
  const original = join(clientPath, "holiday.tar");
  await Deno.writeFile(original, makeContent(FILE_BYTES));
  await Deno.writeTextFile(join(clientPath, "transfer.info"), `${address}\nalice\nholiday.tar`);

  say(`client runs with transfer.info: ${address}, alice, holiday.tar`);
  await runClient();
  say(`client runs again, and logs in with the identity that it kept in ${listNames(clientPath)}`);
  await runClient();

  const stored = await findStored();
  const identical = sameBytes(await Deno.readFile(original), await Deno.readFile(stored));
  say(`stored: ${stored}`);
  say(`${formatByteSize(FILE_BYTES)}, ${identical ? "identical to the original" : "DIFFERENT"}`);

  server.kill("SIGTERM");
  const { code } = await server.status;
  await logEnd;
  say(`server stopped with exit code ${code}`);
  exitCode = identical && code === 0 ? 0 : 1;
} finally {
  if (exitCode !== 0) {
    try {
      server.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }
  await Deno.remove(folder, { recursive: true });
}
say(exitCode === 0 ? "the demo is over, and its folder is removed" : "THE DEMO FAILED");
Deno.exit(exitCode);

function programArgs(program: string, ...args: string[]): string[] {
  const path = fileURLToPath(new URL(`${program}.ts`, import.meta.url));
  return ["run", ...PERMISSIONS, path, ...args];
}

async function runClient(): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: programArgs("client"),
    cwd: clientPath,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`the client ended with exit code ${code}`);
}

/** Shows the server's log as it comes, and tells where it listens. */
async function followLog(
  stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<{ address: string; logEnd: Promise<void> }> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const logEnd = (async () => {
    let rest = "";
    for await (const text of stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const { time: _time, level: _level, event, ...fields } = JSON.parse(line);
        if (event === "listening") resolve(fields.classic);
        else console.log(`  server: ${event} ${JSON.stringify(fields)}`);
      }
    }
    reject(new Error("the server did not start"));
  })();
  return { address: await promise, logEnd };
}

async function findStored(): Promise<string> {
  const files = join(dataPath, "files");
  for await (const client of Deno.readDir(files)) {
    for await (const file of Deno.readDir(join(files, client.name))) {
      return join(files, client.name, file.name);
    }
  }
  throw new Error("nothing is stored");
}

/** Bytes that look like data: half of them random, half of them text. */
function makeContent(size: number): Uint8Array {
  const content = new Uint8Array(size);
  const text = new TextEncoder().encode("All work and no backup makes a sad admin.\n");
  for (let i = 0; i < size / 2; i++) content[i] = text[i % text.length];
  for (let i = size / 2; i < size; i += 65536) {
    crypto.getRandomValues(content.subarray(i, i + 65536));
  }
  return content;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function listNames(path: string): string {
  return [...Deno.readDirSync(path)].map((entry) => basename(entry.name))
    .filter((name) => name.endsWith(".info") || name.endsWith(".key")).sort().join(", ");
}

function say(text: string): void {
  console.log(`* ${text}`);
}
