/**
 * Classic uploads with the real programs: 1 GiB by one client, and by 16 at once. The server's memory is its resident set as
 * Linux tells it, idle and at its highest.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { megabytesPerSecond, type Row } from "./table.ts";

const MIB = 1024 * 1024;
const TOTAL_BYTES = 1024 * MIB;
const POLL_MS = 20;
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-read", "--allow-write"];

export async function benchClassic({ scale }: { scale: number }): Promise<Row[]> {
  const totalBytes = Math.ceil(TOTAL_BYTES * scale);
  const folder = await Deno.makeTempDir({ prefix: "holdfast-bench-" });
  try {
    const rows: Row[] = [];
    for (const clients of [1, 16]) {
      const path = join(folder, `of-${clients}`);
      await Deno.mkdir(path);
      await writeRandomFile(join(path, "upload.bin"), totalBytes / clients);
      rows.push(await benchUpload(path, { clients, totalBytes }));
    }
    return rows;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function benchUpload(
  folder: string,
  { clients, totalBytes }: { clients: number; totalBytes: number },
): Promise<Row> {
  const server = await startServer(join(folder, "data"));
  try {
    await upload(server.address, folder, {
      clients,
      file: await smallFile(folder),
      run: "warm-up",
    });
    const idle = readRss(server.child.pid);
    let peak = idle;
    const poll = setInterval(() => peak = Math.max(peak, readRss(server.child.pid)), POLL_MS);
    const start = performance.now();
    await upload(server.address, folder, { clients, file: join(folder, "upload.bin"), run: "1" });
    const ms = performance.now() - start;
    clearInterval(poll);
    return {
      clients: String(clients),
      "file of each": `${(totalBytes / clients / MIB).toFixed(0)} MiB`,
      "in all": megabytesPerSecond(totalBytes, ms),
      "server idle": `${(idle / MIB).toFixed(0)} MiB`,
      "server peak": `${(peak / MIB).toFixed(0)} MiB`,
      "above idle": `${((peak - idle) / MIB).toFixed(0)} MiB`,
    };
  } finally {
    server.child.kill("SIGTERM");
    await server.child.status;
  }
}

async function upload(
  address: string,
  folder: string,
  { clients, file, run }: { clients: number; file: string; run: string },
): Promise<void> {
  await Promise.all(Array.from({ length: clients }, async (_, n) => {
    const dir = join(folder, `${run}-client-${n}`);
    await Deno.mkdir(dir);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", ...PERMISSIONS, programPath("client"), "send", "--server", address],
        ...["--name", `${run} ${n}`, "--dir", dir, file],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).output();
    if (code !== 0) throw new Error(`the client ended with exit code ${code}`);
  }));
}

async function startServer(
  dataPath: string,
): Promise<{ child: Deno.ChildProcess; address: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", ...PERMISSIONS, programPath("server"), "--classic", "127.0.0.1:0"],
      ...["--listen", "off", "--data", dataPath, "--log", "json"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const address = JSON.parse(value!.split("\n")[0]).classic;
  reader.releaseLock();
  return { child, address };
}

async function smallFile(folder: string): Promise<string> {
  const path = join(folder, "warm-up.bin");
  await writeRandomFile(path, MIB);
  return path;
}

async function writeRandomFile(path: string, size: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  const piece = new Uint8Array(65536);
  for (let written = 0; written < size; written += piece.length) {
    crypto.getRandomValues(piece);
    await file.write(piece);
  }
}

/** Resident memory of a process in bytes; 0 where the system does not tell it this way. */
function readRss(pid: number): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function programPath(program: string): string {
  return fileURLToPath(new URL(`../${program}.ts`, import.meta.url));
}
