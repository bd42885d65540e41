/**
 * Who a client of protocol version 3 is: `me.info` and `priv.key` beside it (docs/protocol.md, "Files"). Reads every
 * form that is met, writes the standard one, and never puts a worse identity in place of a better one.
 */
import { join } from "node:path";
import { decodeHex } from "../bytes.ts";
import { derivePublicKey, generateRsaKeyPair, type RsaKeyPair } from "../crypto.ts";
import { syncDirectory, writeFileDurably } from "../durable.ts";
import { DamagedError, HoldfastError, RefusedError } from "../errors.ts";
import { SETTINGS_FILE_BYTES_MAX } from "../limits.ts";
import { ID_BYTES, PUBLIC_KEY_BYTES } from "../protocol.ts";

const FILE_MODE = 0o600;
const DER_SEQUENCE = 0x30;

/** A registered client. */
export interface Identity {
  name: string;
  /** 16 bytes. */
  clientId: Uint8Array<ArrayBuffer>;
  /** PKCS#8, DER. */
  privateKey: Uint8Array<ArrayBuffer>;
}

/**
 * Parses `me.info`: name, id in hex of either case and with or without dashes, private key in base64 on one or many
 * lines. The key is undefined if it is missing or is not base64.
 *
 * @throws {DamagedError} if there is no name or no id
 */
export function parseMeInfo(
  text: string,
): Omit<Identity, "privateKey"> & { privateKey: Uint8Array<ArrayBuffer> | undefined } {
  const [name = "", id = "", ...keyLines] = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  if (name.trim() === "") throw new DamagedError("Cannot read me.info: line 1 holds no name");
  let clientId: Uint8Array<ArrayBuffer>;
  try {
    clientId = decodeHex(id.trim().replaceAll("-", ""), ID_BYTES);
  } catch (cause) {
    throw new DamagedError("Cannot read me.info: line 2 holds no id of 32 hex digits", { cause });
  }
  return { name: name.trim(), clientId, privateKey: decodeKeyText(keyLines.join("")) };
}

/** The opposite of {@link parseMeInfo}, in the standard form. */
export function formatMeInfo({ name, clientId, privateKey }: Identity): string {
  return `${name}\n${clientId.toHex()}\n${privateKey.toBase64()}\n`;
}

/** Parses `priv.key`: base64, wrapped or not, or raw DER. Undefined if it is neither. */
export function parsePrivateKey(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (bytes[0] === DER_SEQUENCE && bytes[1] >= 0x80) return new Uint8Array(bytes);
  return decodeKeyText(new TextDecoder().decode(bytes));
}

/** The identity files of one folder. */
export class IdentityFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The identity that is kept here, or undefined if there is none.
   *
   * @throws {DamagedError} if there is one that cannot be used
   */
  async read(): Promise<Identity | undefined> {
    return await this.#readIdentity(this.#meInfoPath);
  }

  /** The identity whose registration was begun but perhaps not finished, if there is one. */
  async readBegun(): Promise<Identity | undefined> {
    return await this.#readIdentity(this.#begunPath).catch(() => undefined);
  }

  async #readIdentity(path: string): Promise<Identity | undefined> {
    const bytes = readFileIfThere(path);
    if (bytes === undefined) return undefined;
    try {
      const meInfo = parseMeInfo(new TextDecoder().decode(bytes));
      const candidates = [meInfo.privateKey, this.#readPrivateKey()];
      const privateKey = await firstUsable(candidates);
      if (!privateKey) throw new DamagedError("Cannot read me.info: it holds no RSA private key");
      return { name: meInfo.name, clientId: meInfo.clientId, privateKey };
    } catch (cause) {
      throw new DamagedError(`Cannot use ${path}`, {
        cause,
        hint: "restore it from a copy, or move it away to register under another name",
      });
    }
  }

  /** Whether writing here is permitted, told before anything is registered that could not be kept. */
  checkWritable(): void {
    const permission = Deno.permissions.querySync({ name: "write", path: this.#path });
    if (permission.state === "granted") return;
    throw new RefusedError(`Cannot register: no permission to write in ${this.#path}`, {
      hint: `a new identity must be kept; run with --allow-write=${this.#path}`,
    });
  }

  /**
   * The key pair to register with: the one of `priv.key` if it fits the protocol, else a new one, which is on disk
   * before this returns.
   */
  async prepareKeyPair(): Promise<RsaKeyPair> {
    const kept = this.#readPrivateKey();
    if (kept !== undefined) {
      const publicKey = await derivePublicKey(kept).catch(() => undefined);
      if (publicKey?.length === PUBLIC_KEY_BYTES) return { publicKey, privateKey: kept };
    }
    const pair = await generateRsaKeyPair();
    await this.#replace(this.#privateKeyPath, pair.privateKey.toBase64() + "\n");
    return pair;
  }

  /**
   * Keeps an identity that the server has given an id but no session key yet: if the run ends here, the next one goes on.
   */
  async writeBegun(identity: Identity): Promise<void> {
    try {
      const bytes = new TextEncoder().encode(formatMeInfo(identity));
      await writeFileDurably(this.#begunPath, bytes, { mode: FILE_MODE });
    } catch (cause) {
      throw new HoldfastError(
        `Cannot keep me.info of client "${identity.name}", registered as ${identity.clientId.toHex()}`,
        { cause, hint: "the private key is in priv.key; write me.info by hand: name, id, key" },
      );
    }
  }

  /** Makes the begun identity the one of this folder. One that was here before stays under another name. */
  async acceptBegun(): Promise<void> {
    if (readFileIfThere(this.#meInfoPath) !== undefined) await this.#keepOld(this.#meInfoPath);
    await Deno.rename(this.#begunPath, this.#meInfoPath);
    await syncDirectory(this.#path);
  }

  get #begunPath(): string {
    return join(this.#path, "me.info.begun");
  }

  get #meInfoPath(): string {
    return join(this.#path, "me.info");
  }

  get #privateKeyPath(): string {
    return join(this.#path, "priv.key");
  }

  #readPrivateKey(): Uint8Array<ArrayBuffer> | undefined {
    const bytes = readFileIfThere(this.#privateKeyPath);
    return bytes && parsePrivateKey(bytes);
  }

  async #replace(path: string, text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    if (readFileIfThere(path) !== undefined) await this.#keepOld(path);
    await writeFileDurably(path, bytes, { mode: FILE_MODE });
  }

  /** A second name for the old file, so that the new one can take its place in one step. */
  async #keepOld(path: string): Promise<void> {
    for (let n = 1;; n++) {
      try {
        await Deno.writeFile(`${path}.old-${n}`, Deno.readFileSync(path), {
          createNew: true,
          mode: FILE_MODE,
        });
        return await syncDirectory(this.#path);
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
    }
  }
}

function decodeKeyText(text: string): Uint8Array<ArrayBuffer> | undefined {
  const compact = text.replace(/\s+/g, "");
  if (compact === "") return undefined;
  try {
    return Uint8Array.fromBase64(compact);
  } catch {
    return undefined; // the caller says what is missing
  }
}

async function firstUsable(
  keys: (Uint8Array<ArrayBuffer> | undefined)[],
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  for (const key of keys) {
    if (key && await derivePublicKey(key).then(() => true, () => false)) return key;
  }
  return undefined;
}

function readFileIfThere(path: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    const { size } = Deno.statSync(path);
    if (size > SETTINGS_FILE_BYTES_MAX) throw new DamagedError(`Cannot read ${path}: too large`);
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
