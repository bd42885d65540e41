/**
 * A server of protocol version 3 that answers as a test tells it. Like {@link ScriptedClient} it shares no code with the
 * project.
 */
import { Buffer } from "node:buffer";
import {
  constants,
  createDecipheriv,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from "node:crypto";

export interface ScriptedRequest {
  id: Buffer;
  version: number;
  code: number;
  payloadBytes: number;
  payload: Buffer;
  /** Counts connections from 1. */
  connection: number;
}

/** What to do with a request: an answer, several, none (""), or "close". */
export type Reply = Buffer | "" | "close";

export function answer(code: number, payload: Buffer = Buffer.alloc(0), version = 3): Buffer {
  const header = Buffer.alloc(7);
  header.writeUInt8(version, 0);
  header.writeUInt16LE(code, 1);
  header.writeUInt32LE(payload.length, 3);
  return Buffer.concat([header, payload]);
}

export class ScriptedServer implements AsyncDisposable {
  readonly requests: ScriptedRequest[] = [];
  readonly files = new Map<string, Buffer>();
  readonly id = Buffer.from("a1a2a3a4b5b64c4cd7d8e9e0f1f2f3f4", "hex");
  readonly key = randomBytes(16);
  publicKey: Buffer | undefined;
  /** Behind a header with this code nothing is read any more. */
  deafTo: number | undefined;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #script: (request: ScriptedRequest, server: ScriptedServer) => Reply | undefined;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #running: Promise<unknown>[] = [];
  readonly #closed = Promise.withResolvers<void>();
  #connections = 0;

  /** `script` decides; where it returns undefined, the server does what a good one does. */
  constructor(
    script: (request: ScriptedRequest, server: ScriptedServer) => Reply | undefined = () =>
      undefined,
  ) {
    this.#script = script;
    this.#running.push(this.#accept());
  }

  get address(): string {
    return `127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  get codes(): number[] {
    return this.requests.map((request) => request.code);
  }

  /** The file of the last SEND_FILE, decrypted. */
  openFile(request: ScriptedRequest): { name: string; plain: Buffer; contentBytes: number } {
    const decipher = createDecipheriv("aes-128-cbc", this.key, Buffer.alloc(16));
    const content = request.payload.subarray(259);
    const plain = Buffer.concat([decipher.update(content), decipher.final()]);
    const field = request.payload.subarray(4, 259);
    const name = field.subarray(0, field.indexOf(0)).toString();
    return { name, plain, contentBytes: request.payload.readUInt32LE(0) };
  }

  keyPayload(id = this.id): Buffer {
    const key = createPublicKey({ key: this.publicKey!, format: "der", type: "spki" });
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" };
    return Buffer.concat([id, publicEncrypt({ key, ...padding }, this.key)]);
  }

  receipt(request: ScriptedRequest, checksum: number, contentBytes?: number): Buffer {
    const payload = Buffer.alloc(279);
    this.id.copy(payload);
    payload.writeUInt32LE(contentBytes ?? request.payload.readUInt32LE(0), 16);
    request.payload.copy(payload, 20, 4, 259);
    payload.writeUInt32LE(checksum, 275);
    return answer(2103, payload);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#closed.resolve();
    for (const conn of this.#conns) closeQuietly(conn);
    await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      this.#running.push(this.#serve(conn, ++this.#connections));
    }
  }

  async #serve(conn: Deno.TcpConn, connection: number): Promise<void> {
    try {
      for (;;) {
        const header = await readAll(conn, 23);
        if (!header) break;
        if (header.readUInt16LE(17) === this.deafTo) await this.#closed.promise;
        const payloadBytes = header.readUInt32LE(19);
        const request = {
          id: header.subarray(0, 16),
          version: header.readUInt8(16),
          code: header.readUInt16LE(17),
          payloadBytes,
          payload: await readAll(conn, payloadBytes) ?? Buffer.alloc(0),
          connection,
        };
        this.requests.push(request);
        const reply = this.#script(request, this) ?? this.#goodReply(request);
        if (reply === "close") break;
        for (let sent = 0; sent < reply.length;) {
          sent += await conn.write((reply as Buffer).subarray(sent));
        }
      }
    } catch {
      // The client is gone, or the test is over.
    }
    closeQuietly(conn);
  }

  #goodReply(request: ScriptedRequest): Reply {
    switch (request.code) {
      case 1025:
        return answer(2100, this.id);
      case 1026:
        this.publicKey = Buffer.from(request.payload.subarray(255));
        return answer(2102, this.keyPayload());
      case 1027:
        return this.publicKey ? answer(2105, this.keyPayload()) : answer(2106, this.id);
      case 1028: {
        const { name, plain } = this.openFile(request);
        this.files.set(name, plain);
        return this.receipt(request, cksum(plain));
      }
      case 1030:
        return "";
      default:
        return answer(2104, this.id);
    }
  }
}

/** POSIX cksum, bit by bit, from its definition. */
export function cksum(bytes: Uint8Array): number {
  const length: number[] = [];
  for (let n = bytes.length; n > 0; n = Math.floor(n / 256)) length.push(n & 255);
  let crc = 0;
  const take = (byte: number) => {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  };
  bytes.forEach(take);
  length.forEach(take);
  return ~crc >>> 0;
}

async function readAll(conn: Deno.TcpConn, size: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(size);
  for (let filled = 0; filled < size;) {
    const count = await conn.read(bytes.subarray(filled));
    if (count === null) return undefined;
    filled += count;
  }
  return bytes;
}

function closeQuietly(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
