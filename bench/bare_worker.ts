/** A worker of `bare.ts`. */
/// <reference lib="deno.worker" />
import { join } from "node:path";
import { joinSmall, releaseBuffer, releaseBytes } from "../lib/bytes.ts";
import { parseHostPort } from "../lib/flags.ts";
import { RecordType } from "../lib/record.ts";
import { connectPinned, readCertificate } from "../lib/tls.ts";
import { Chunker } from "../lib/vault/chunker.ts";
import { openRecord, sealRecord } from "../lib/vault/seal.ts";
import {
  ANSWER_BYTES,
  BareChannel,
  decodeLength,
  encodeFrame,
  FRAME_BYTES,
  type FromBareWorker,
  Kind,
  listName,
  type ToBareWorker,
  writeInPieces,
} from "./bare_channel.ts";
import { readFull } from "./read_full.ts";

/** Some bytes of a record, and where in which file they belong. */
interface Place {
  path: string;
  at: number;
  offset: number;
  length: number;
}

interface IndexEntry {
  id: string;
  key: string;
  places: Place[];
}

type Setup = Extract<ToBareWorker, { type: "setup" }>["setup"];

const KEY = new Uint8Array(32);
const CONNECT_MS = 5000;
const RECORD_BYTES = 256 * 1024;
const BUFFER_BYTES = 8 * 1024 * 1024;
const SENDING_MAX = 6;
const JOINED_BYTES = 64 * 1024;

let doing: Promise<{ sender: Sender; setup: Setup }>;

self.onmessage = ({ data }: MessageEvent<ToBareWorker>) => {
  doing = data.type === "setup" ? begin(data.setup) : doing.then(async (state) => {
    await handle(data, state);
    return state;
  });
  doing.catch((error) => say({ type: "failed", message: String(error.stack) }));
};

async function begin(setup: Setup): Promise<{ sender: Sender; setup: Setup }> {
  const { mode, client, number, folder, address } = setup;
  const pem = Deno.readTextFileSync(join(folder, "server.crt"));
  const options = { certificate: readCertificate(pem), connectMs: CONNECT_MS };
  const channel = new BareChannel(await connectPinned(parseHostPort(address), options));
  const kind = mode === "backup" ? Kind.STORE : Kind.SEND;
  await channel.write(new Uint8Array([kind, client, number]));
  return { sender: new Sender(channel), setup };
}

async function handle(
  message: ToBareWorker,
  { sender, setup }: { sender: Sender; setup: Setup },
): Promise<void> {
  if (message.type === "files") return await sendFiles(sender, message.files);
  if (message.type === "part") return await sendPart(sender, message);
  const { mode, folder, client, number, path } = setup;
  const index = join(folder, listName(`index ${number}`, client));
  if (mode === "backup") Deno.writeTextFileSync(index, JSON.stringify(await sender.finish()));
  else await restore(sender.channel, JSON.parse(Deno.readTextFileSync(index)), path);
  say({ type: "done" });
}

/** Seals records and sends them, while the next are made. */
class Sender {
  readonly channel: BareChannel;
  readonly #index: IndexEntry[] = [];
  #sending: Promise<void>[] = [];

  constructor(channel: BareChannel) {
    this.channel = channel;
  }

  async send(plaintext: Uint8Array, places: Place[]): Promise<void> {
    const { id, key, parts } = sealRecord(KEY, { type: RecordType.DATA, links: [], plaintext });
    this.#index.push({ id: id.toHex(), key: key.toHex(), places });
    const frame = encodeFrame(id, parts.reduce((sum, part) => sum + part.length, 0));
    this.#sending.push(this.#write(this.#sending.at(-1), [frame, ...parts]));
    if (this.#sending.length >= SENDING_MAX) await this.#sending.shift();
  }

  async finish(): Promise<IndexEntry[]> {
    await this.#sending.at(-1);
    await this.channel.write(encodeFrame(KEY, 0));
    await this.channel.fill(new Uint8Array(ANSWER_BYTES));
    return this.#index;
  }

  async #write(before: Promise<void> | undefined, parts: Uint8Array[]): Promise<void> {
    await before;
    for (const bytes of joinSmall(parts, JOINED_BYTES)) await this.channel.write(bytes);
    parts.forEach(releaseBytes);
  }
}

const buffer = new Uint8Array(BUFFER_BYTES);
const chunker = new Chunker(crypto.getRandomValues(new Uint32Array(256)));

async function sendFiles(sender: Sender, files: { path: string; size: number }[]): Promise<void> {
  let filled = 0;
  let places: Place[] = [];
  const flush = async () => {
    if (filled > 0) await sender.send(buffer.subarray(0, filled), places);
    [filled, places] = [0, []];
  };
  for (const { path, size } of files) {
    if (filled + size > RECORD_BYTES) await flush();
    if (size > RECORD_BYTES) {
      await sendPart(sender, { path, start: 0, end: size });
      continue;
    }
    using file = Deno.openSync(path);
    if (readFull(file, buffer.subarray(filled, filled + size)) < size) throw new Error("Shorter");
    places.push({ path, at: 0, offset: filled, length: size });
    filled += size;
  }
  await flush();
}

async function sendPart(
  sender: Sender,
  { path, start, end }: { path: string; start: number; end: number },
): Promise<void> {
  using file = Deno.openSync(path);
  file.seekSync(start, Deno.SeekMode.Start);
  for (let [at, filled] = [start, 0]; at < end;) {
    const want = Math.min(buffer.length, end - at);
    filled += readFull(file, buffer.subarray(filled, want));
    chunker.reset();
    let from = 0;
    for (let to; (to = chunker.find(buffer, { start: from, end: filled })) >= 0; from = to) {
      const length = to - from;
      await sender.send(buffer.subarray(from, to), [{ path, at: at + from, offset: 0, length }]);
    }
    if (at + filled >= end && from < filled) {
      const length = filled - from;
      await sender.send(buffer.subarray(from, filled), [{
        ...{ path, at: at + from, offset: 0, length },
      }]);
      from = filled;
    }
    buffer.copyWithin(0, from, filled);
    at += from;
    filled -= from;
  }
}

async function restore(channel: BareChannel, index: IndexEntry[], root: string): Promise<void> {
  const frame = new Uint8Array(FRAME_BYTES);
  for (const { id, key, places } of index) {
    await channel.fill(frame);
    const record = new Uint8Array(decodeLength(frame));
    await channel.fill(record);
    const keys = { id: Uint8Array.fromHex(id), key: Uint8Array.fromHex(key) };
    const { plaintext, release } = openRecord(record, keys);
    for (const { path, at, offset, length } of places) {
      using file = Deno.openSync(root + path, { write: true, create: true });
      if (at > 0) file.seekSync(at, Deno.SeekMode.Start);
      writeInPieces(file, plaintext.subarray(offset, offset + length));
    }
    release();
    releaseBuffer(record);
  }
}

function say(message: FromBareWorker): void {
  self.postMessage(message);
}
