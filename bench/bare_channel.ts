/** What the processes and threads of `bare.ts` say to each other. */
import { FILE_PIECE_BYTES } from "../lib/limits.ts";

const BUFFER_BYTES = 16 * 1024;

/** First thing on a connection: kind, number of the client, number of its worker. */
export const HEAD_BYTES = 3;
export const Kind = { STORE: 1, SEND: 2 } as const;
/** Before a record: its length, u32, and its id. A length of 0: that was all. */
export const FRAME_BYTES = 4 + 32;
/** Everything is on the disk. */
export const ANSWER_BYTES = 1;

export type ToBareWorker =
  | {
    type: "setup";
    setup: {
      mode: "backup" | "restore";
      folder: string;
      client: number;
      number: number;
      address: string;
      path: string;
    };
  }
  | { type: "files"; files: { path: string; size: number }[] }
  /** Bytes of a file. */
  | { type: "part"; path: string; start: number; end: number }
  | { type: "end" };

export type FromBareWorker = { type: "done" } | { type: "failed"; message: string };

export class BareChannel {
  readonly #conn: Pick<Deno.TlsConn, "read" | "write">;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;

  constructor(conn: Pick<Deno.TlsConn, "read" | "write">) {
    this.#conn = conn;
  }

  async fill(target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length;) {
      if (this.#start === this.#end) {
        const isLarge = target.length - at >= BUFFER_BYTES;
        const count = await this.#conn.read(isLarge ? target.subarray(at) : this.#buffer);
        if (count === null) throw new Error("Connection lost");
        if (isLarge) at += count;
        else [this.#start, this.#end] = [0, count];
        continue;
      }
      const count = Math.min(this.#end - this.#start, target.length - at);
      target.set(this.#buffer.subarray(this.#start, this.#start + count), at);
      this.#start += count;
      at += count;
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }
}

export function encodeFrame(id: Uint8Array, length: number): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  new DataView(frame.buffer).setUint32(0, length);
  frame.set(id, 4);
  return frame;
}

export function decodeLength(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0);
}

export function writeInPieces(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    at += file.writeSync(bytes.subarray(at, at + FILE_PIECE_BYTES));
  }
}

/** Name of a file in which a client keeps what it needs for a restore. */
export function listName(what: string, client: number | string): string {
  return `${what} ${client}.json`;
}
