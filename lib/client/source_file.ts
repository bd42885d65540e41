/** A file that a classic client sends: checked before the first byte, then summed and encrypted in one pass. */
import { basename } from "node:path";
import { concatBytes } from "../bytes.ts";
import type { Channel } from "../channel.ts";
import { Checksum } from "../checksum.ts";
import { CbcEncryptor } from "../crypto.ts";
import { describeError, HoldfastError } from "../errors.ts";
import { formatByteSize } from "../flags.ts";
import { CLASSIC, CLIENT_DEFAULTS } from "../limits.ts";
import * as protocol from "../protocol.ts";

export interface SourceFile {
  path: string;
  /** Base name, under which the server stores it. */
  name: string;
  /** Bytes, when it was looked at. */
  size: number;
  /** Told how many bytes of it are on their way. Starts again with every repeat. */
  onProgress?: (doneBytes: number) => void;
}

/** A file that cannot be sent. Others can. */
export class SourceError extends HoldfastError {
  override name = "SourceError";
}

/** @throws {SourceError} if the file cannot be read or does not fit the protocol */
export function openSourceFile(path: string): SourceFile {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
    if (info.isFile) Deno.openSync(path, { read: true }).close();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new SourceError(`Cannot read file ${path}: ${describeError(cause)}`);
  }
  const name = basename(path);
  const state = !info.isFile
    ? "it is not a file"
    : info.size > CLASSIC.plainBytesMax
    ? `${formatByteSize(info.size)}, and the classic protocol takes at most ` +
      formatByteSize(CLASSIC.plainBytesMax)
    : new TextEncoder().encode(name).length > CLASSIC.nameBytesMax
    ? `its name is over ${CLASSIC.nameBytesMax} bytes`
    : undefined;
  if (state !== undefined) throw new SourceError(`Cannot send file ${path}: ${state}`);
  return { path, name, size: info.size };
}

/**
 * Sends one SEND_FILE message.
 *
 * @returns the checksum of what was sent
 * @throws {SourceError} if the file got shorter meanwhile; the message is then cut
 */
export async function streamFile(
  source: SourceFile,
  { channel, clientId, nameField, sessionKey }: {
    channel: Channel;
    clientId: Uint8Array;
    nameField: Uint8Array;
    sessionKey: Uint8Array<ArrayBuffer>;
  },
): Promise<number> {
  const encryptor = await CbcEncryptor.create(sessionKey);
  const sum = new Checksum();
  using file = await openAgain(source.path);
  const piece = new Uint8Array(Math.min(CLIENT_DEFAULTS.pieceBytes, Math.max(source.size, 1)));
  let head: Uint8Array = encodeHead(source, { clientId, nameField });
  let sending = Promise.resolve();
  try {
    let left = source.size;
    do {
      const plain = piece.subarray(0, Math.min(piece.length, left));
      await readFully(file, { target: plain, path: source.path });
      left -= plain.length;
      const encrypting = left > 0 ? encryptor.update(plain) : encryptor.finish(plain);
      sum.update(plain); // while another thread encrypts
      const cipher = await encrypting;
      await sending;
      // One write for a small message; a large one goes out while the next piece is read.
      sending = channel.write(head.length > 0 ? concatBytes(head, cipher) : cipher);
      sending.catch(() => {}); // it is awaited below; meanwhile nobody looks
      head = new Uint8Array(0);
      source.onProgress?.(source.size - left);
    } while (left > 0);
  } finally {
    await sending;
  }
  return sum.value();
}

/** It was there when it was looked at. */
async function openAgain(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    throw new SourceError(`Cannot read file ${path}`, { cause });
  }
}

function encodeHead(
  source: SourceFile,
  { clientId, nameField }: { clientId: Uint8Array; nameField: Uint8Array },
): Uint8Array {
  const contentBytes = protocol.cipherSize(source.size);
  const header = protocol.encodeRequestHeader({
    clientId,
    version: protocol.VERSION,
    code: protocol.RequestCode.SEND_FILE,
    payloadBytes: protocol.FILE_PREFIX_BYTES + contentBytes,
  });
  return concatBytes(header, protocol.encodeFilePrefix({ contentBytes, nameField }));
}

async function readFully(
  file: Deno.FsFile,
  { target, path }: { target: Uint8Array; path: string },
): Promise<void> {
  for (let filled = 0; filled < target.length;) {
    const count = await file.read(target.subarray(filled));
    if (count === null) {
      throw new SourceError(`Cannot send file ${path}: it got shorter while it was read`);
    }
    filled += count;
  }
}
