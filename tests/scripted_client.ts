/**
 * A client of protocol version 3 that does exactly what a test tells it, right or wrong. It shares no code with the
 * project: its bytes come from `Buffer`, its cryptography from `node:crypto`.
 */
import { Buffer } from "node:buffer";
import { constants, createCipheriv, generateKeyPairSync, privateDecrypt } from "node:crypto";

export interface ScriptedAnswer {
  version: number;
  code: number;
  payload: Buffer;
}

/** A key pair for all tests: drawing one takes time. */
const PAIR = generateKeyPairSync("rsa", {
  modulusLength: 1024,
  publicExponent: 17,
  publicKeyEncoding: { type: "spki", format: "der" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

export const PUBLIC_KEY = Buffer.from(PAIR.publicKey);
export const NO_ID = Buffer.alloc(16);
const ANSWER_MS = 15_000;

export function nameField(name: string, filler = 0): Buffer {
  const field = Buffer.alloc(255, filler);
  const bytes = Buffer.from(name + (name.length < 255 ? "\0" : ""), "utf8");
  bytes.copy(field);
  return field;
}

export function message(
  code: number,
  { id = NO_ID, payload = Buffer.alloc(0), payloadBytes = payload.length, version = 3 }: {
    id?: Uint8Array;
    payload?: Buffer;
    payloadBytes?: number;
    version?: number;
  } = {},
): Buffer {
  const header = Buffer.alloc(23);
  header.set(id, 0);
  header.writeUInt8(version, 16);
  header.writeUInt16LE(code, 17);
  header.writeUInt32LE(payloadBytes, 19);
  return Buffer.concat([header, payload]);
}

export function encrypt(key: Buffer, plain: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-128-cbc", key, Buffer.alloc(16));
  return Buffer.concat([cipher.update(plain), cipher.final()]);
}

/** A SEND_FILE message. `payloadBytes` defaults to all that follows the header. */
export function fileMessage(
  { id, key, name, plain, field = nameField(name ?? ""), payloadBytes }: {
    id: Uint8Array;
    key: Buffer;
    name?: string;
    plain: Uint8Array;
    field?: Buffer;
    payloadBytes?: number;
  },
): Buffer {
  const content = encrypt(key, plain);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length);
  const payload = Buffer.concat([size, field, content]);
  return message(1028, { id, payload, payloadBytes: payloadBytes ?? payload.length });
}

export class ScriptedClient implements Disposable {
  readonly conn: Deno.TcpConn;
  #received = Buffer.alloc(0);
  #reading: Promise<number | null> | undefined;
  readonly #piece = new Uint8Array(65536);

  private constructor(conn: Deno.TcpConn) {
    this.conn = conn;
  }

  static async connect(port: number): Promise<ScriptedClient> {
    return new ScriptedClient(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  async send(...parts: Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat(parts);
    for (let sent = 0; sent < bytes.length;) sent += await this.conn.write(bytes.subarray(sent));
  }

  /** Sends a message in pieces that the network will not join. */
  async sendSplit(bytes: Buffer, cuts: number[]): Promise<void> {
    this.conn.setNoDelay(true);
    let start = 0;
    for (const cut of [...cuts, bytes.length]) {
      await this.send(bytes.subarray(start, cut));
      await new Promise((resolve) => setTimeout(resolve, 5));
      start = cut;
    }
  }

  /** The next answer; null if the server closed; "nothing" if none came in `maxMs` milliseconds. */
  async answer(maxMs = ANSWER_MS): Promise<ScriptedAnswer | null | "nothing"> {
    const header = await this.#take(7, maxMs);
    if (!Buffer.isBuffer(header)) return header;
    const size = header.readUInt32LE(3);
    const payload = await this.#take(size, ANSWER_MS);
    if (!Buffer.isBuffer(payload)) throw new Error("answer without its payload");
    return { version: header.readUInt8(0), code: header.readUInt16LE(1), payload };
  }

  /** The next answer, which must have this code. */
  async expect(code: number): Promise<Buffer> {
    const answer = await this.answer();
    if (answer === null || answer === "nothing" || answer.code !== code) {
      const got = answer === null || answer === "nothing" ? answer : answer.code;
      throw new Error(`answer ${code} expected, got ${got}`);
    }
    return answer.payload;
  }

  async register(name: string): Promise<Buffer> {
    await this.send(message(1025, { payload: nameField(name) }));
    return Buffer.from(await this.expect(2100));
  }

  async exchangeKey(id: Uint8Array, name: string): Promise<Buffer> {
    await this.send(message(1026, { id, payload: Buffer.concat([nameField(name), PUBLIC_KEY]) }));
    return openKey(await this.expect(2102));
  }

  async reconnect(id: Uint8Array, name: string): Promise<Buffer> {
    await this.send(message(1027, { id, payload: nameField(name) }));
    return openKey(await this.expect(2105));
  }

  /** Registers and exchanges keys. */
  async join(name: string): Promise<{ id: Buffer; key: Buffer }> {
    const id = await this.register(name);
    return { id, key: await this.exchangeKey(id, name) };
  }

  async confirm(id: Uint8Array, name: string): Promise<void> {
    await this.send(message(1029, { id, payload: nameField(name) }));
    await this.expect(2104);
  }

  [Symbol.dispose](): void {
    try {
      this.conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #take(size: number, maxMs: number): Promise<Buffer | null | "nothing"> {
    const deadline = Date.now() + maxMs;
    while (this.#received.length < size) {
      this.#reading ??= this.conn.read(this.#piece).catch(() => null);
      const count = await this.#wait(this.#reading, deadline - Date.now());
      if (count === "nothing") return "nothing";
      this.#reading = undefined;
      if (count === null) return null;
      this.#received = Buffer.concat([this.#received, this.#piece.subarray(0, count)]);
    }
    const taken = this.#received.subarray(0, size);
    this.#received = this.#received.subarray(size);
    return taken;
  }

  async #wait<T>(promise: Promise<T>, maxMs: number): Promise<T | "nothing"> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<"nothing">((resolve) => {
      timer = setTimeout(() => resolve("nothing"), Math.max(0, maxMs));
    });
    try {
      return await Promise.race([promise, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function openKey(payload: Buffer): Buffer {
  return privateDecrypt({
    key: PAIR.privateKey,
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: "sha1",
  }, payload.subarray(16));
}

/** Checksum in a receipt. */
export function receiptChecksum(payload: Buffer): number {
  return payload.readUInt32LE(275);
}
