/**
 * What a backup costs the runtime at the least: the calls that none can do without, and nothing else. Two workers read
 * files, make records of them with our own `sealRecord()`, and send them over TLS to a server that checks each id, writes
 * all to a file and flushes it; and the other way round. It knows no last snapshot and asks for nothing that is there
 * already; it loses metadata, and whatever is in its way. What is missing here is the rest of our program.
 *
 *     bare.ts serve FOLDER
 *     bare.ts backup FOLDER NAME ADDRESS SOURCE
 *     bare.ts restore FOLDER NAME ADDRESS TARGET
 */
import { dirname, join } from "node:path";
import { equalBytes, releaseBuffer } from "../lib/bytes.ts";
import { ALPN } from "../lib/protocol_v4.ts";
import { recordId } from "../lib/record.ts";
import { openServerKey } from "../lib/server/certificate.ts";
import {
  ANSWER_BYTES,
  BareChannel,
  decodeLength,
  FRAME_BYTES,
  type FromBareWorker,
  HEAD_BYTES,
  Kind,
  listName,
  type ToBareWorker,
  writeInPieces,
} from "./bare_channel.ts";

const WORKERS = 2;
const FILES_PER_MESSAGE = 256;
/** A file of this size is shared among the workers. */
const SHARED_BYTES_MIN = 64 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

const [mode, folder, ...rest] = Deno.args;
if (mode === "serve") await serve(folder);
else await run(mode as "backup" | "restore", folder, rest);

async function serve(folder: string): Promise<void> {
  const { pem, privateKeyPem } = await openServerKey(folder);
  const listener = Deno.listenTls({
    ...{ hostname: "127.0.0.1", port: 0, cert: pem, key: privateKeyPem },
    alpnProtocols: [ALPN],
  });
  console.error(`127.0.0.1:${listener.addr.port}`);
  for await (const conn of listener) {
    handle(new BareChannel(conn), folder).catch((error) => console.error(error));
  }
}

async function handle(channel: BareChannel, folder: string): Promise<void> {
  const head = new Uint8Array(HEAD_BYTES);
  await channel.fill(head);
  const [kind, client, worker] = head;
  const path = join(folder, `pack ${client} ${worker}`);
  if (kind === Kind.STORE) await store(channel, path);
  else await send(channel, path);
}

async function store(channel: BareChannel, path: string): Promise<void> {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (;;) {
    const frame = new Uint8Array(FRAME_BYTES);
    await channel.fill(frame);
    const length = decodeLength(frame);
    if (length === 0) break;
    const record = new Uint8Array(length);
    await channel.fill(record);
    if (!equalBytes(recordId(record), frame.subarray(4))) throw new Error("Another id");
    file.writeSync(frame);
    writeInPieces(file, record);
    releaseBuffer(record);
  }
  await file.sync();
  await channel.write(new Uint8Array(ANSWER_BYTES));
}

async function send(channel: BareChannel, path: string): Promise<void> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(READ_BYTES);
  for (let count; (count = await file.read(buffer)) !== null;) {
    await channel.write(buffer.subarray(0, count));
  }
}

async function run(
  mode: "backup" | "restore",
  folder: string,
  [client, address, path]: string[],
): Promise<void> {
  const setup = { mode, folder, client: Number(client), address, path };
  const workers = Array.from({ length: WORKERS }, (_, number) => start({ ...setup, number }));
  if (mode === "backup") {
    const folders = shareFiles(path, workers);
    Deno.writeTextFileSync(join(folder, listName("folders", client)), JSON.stringify(folders));
  } else {
    const folders = Deno.readTextFileSync(join(folder, listName("folders", client)));
    for (const name of JSON.parse(folders)) Deno.mkdirSync(path + name, { recursive: true });
  }
  for (const { tell } of workers) tell({ type: "end" });
  await Promise.all(workers.map(({ done }) => done));
  Deno.exit(0);
}

/** Gives each file to a worker, a large one to all. @returns the folders */
function shareFiles(
  root: string,
  workers: { tell(message: ToBareWorker): void }[],
): string[] {
  const folders = [dirname(root)];
  let files: { path: string; size: number }[] = [];
  let next = 0;
  const flush = () => {
    workers[next++ % WORKERS].tell({ type: "files", files });
    files = [];
  };
  const visit = (path: string) => {
    const { isDirectory, size } = Deno.lstatSync(path);
    if (isDirectory) {
      folders.push(path);
      for (const { name } of Deno.readDirSync(path)) visit(join(path, name));
    } else if (size < SHARED_BYTES_MIN) {
      files.push({ path, size });
      if (files.length === FILES_PER_MESSAGE) flush();
    } else {
      workers.forEach(({ tell }, number) => {
        const [start, end] = [number, number + 1].map((at) => Math.floor(size * at / WORKERS));
        tell({ type: "part", path, start, end });
      });
    }
  };
  visit(root);
  flush();
  return folders;
}

function start(setup: Extract<ToBareWorker, { type: "setup" }>["setup"]) {
  const worker = new Worker(new URL("./bare_worker.ts", import.meta.url), { type: "module" });
  const tell = (message: ToBareWorker) => worker.postMessage(message);
  const done = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromBareWorker>) =>
      data.type === "done" ? resolve() : reject(new Error(data.message));
  });
  tell({ type: "setup", setup });
  return { tell, done };
}
