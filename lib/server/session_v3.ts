/**
 * The server's half of a conversation in protocol version 3 (docs/protocol.md, "Conversation"). State is kept by
 * client, not by connection, because some clients open a new connection for every request. The tolerances for real
 * clients are listed in "What real peers do" there.
 */
import { concatBytes } from "../bytes.ts";
import type { Channel } from "../channel.ts";
import { AES_BLOCK_BYTES, CbcDecryptor, drawSessionKey, encryptSessionKey } from "../crypto.ts";
import type { ClientRow, Database } from "../db.ts";
import { DamagedError, ProtocolError, RefusedError, UnreachableError } from "../errors.ts";
import { CLASSIC, LINGER } from "../limits.ts";
import type { Log, LogFields } from "../log.ts";
import * as protocol from "../protocol.ts";
import { RequestCode, type RequestHeader, ResponseCode } from "../protocol.ts";
import { type Clock, timestamp } from "../time.ts";
import type { RegistrationCount } from "./access.ts";
import { Content, decryptContent } from "./content_v3.ts";
import { baseName } from "./file_names.ts";
import type { FileStore } from "./file_store.ts";
import type { Peer } from "./listener.ts";

export interface ClassicLimits {
  idleMs: number;
  messageMs: number;
  stallMs: number;
}

/** What all sessions of a server share. */
export interface ClassicContext {
  db: Database;
  files: FileStore;
  registrations: RegistrationCount;
  limits: ClassicLimits;
  log: Log;
  clock: Clock;
  isStopping: () => boolean;
}

/** Printable text: no control characters, no separators of lines, no halves of characters. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}]+$/u;

export class ClassicSession {
  readonly #channel: Channel;
  readonly #peer: Peer;
  readonly #context: ClassicContext;
  #busy = false;
  #answerOwed: Uint8Array | undefined;

  constructor(channel: Channel, peer: Peer, context: ClassicContext) {
    this.#channel = channel;
    this.#peer = peer;
    this.#context = context;
  }

  /** Whether a message, or a file that waits for its confirmation, would suffer from a stop now. */
  isBusy(): boolean {
    return this.#busy || this.#context.files.isWaiting(this);
  }

  /** Serves requests until the peer closes. @throws {UnreachableError} if the connection breaks */
  async run(): Promise<void> {
    try {
      while (await this.#waitForRequest()) {
        this.#busy = true;
        const { messageMs, stallMs } = this.#context.limits;
        this.#channel.expect({ totalMs: messageMs, silenceMs: stallMs });
        const header = await this.#channel.read(protocol.REQUEST_HEADER_BYTES);
        if (header === null) break;
        const keepOpen = await this.#serve(protocol.decodeRequestHeader(header));
        this.#busy = false;
        if (!keepOpen) {
          await this.#channel.finish({ maxBytes: LINGER.bytesMax, maxMs: LINGER.ms });
          break;
        }
        if (this.#context.isStopping() && !this.isBusy()) break;
      }
    } finally {
      this.#busy = false;
      this.#context.files.orphan(this);
    }
  }

  /** Waits for the first byte of a request; false at the end of the connection. */
  async #waitForRequest(): Promise<boolean> {
    const { idleMs } = this.#context.limits;
    this.#channel.expect({ totalMs: idleMs, silenceMs: idleMs });
    if (this.#answerOwed) {
      const answer = this.#answerOwed;
      this.#answerOwed = undefined;
      if (!(await this.#channel.waitForData(CLASSIC.retryAnswerMs))) {
        await this.#channel.write(answer);
      }
    }
    return await this.#channel.waitForData(Infinity);
  }

  /** Reads the payload of a request and answers it. Returns false if the connection must end. */
  async #serve(header: RequestHeader): Promise<boolean> {
    if (header.code === RequestCode.SEND_FILE) return await this.#receiveFile(header);
    if (!isPayloadSize(header)) {
      this.#refuse(`payload of ${header.payloadBytes} bytes in request ${header.code}`);
      const skippable = header.payloadBytes <= CLASSIC.skippedPayloadBytesMax;
      const skipped = skippable && await this.#channel.skip(header.payloadBytes);
      await this.#answer(ResponseCode.SERVER_ERROR);
      return skipped;
    }
    const payload = await this.#channel.readExactly(header.payloadBytes);
    await this.#attempt(() => this.#handle(header, payload));
    return true;
  }

  /** Handles a request whose payload is there; every failure is answered 2107. */
  async #attempt(handle: () => Promise<void>): Promise<void> {
    try {
      await handle();
    } catch (error) {
      if (error instanceof UnreachableError) throw error;
      if (isPeersFault(error)) this.#refuse(error.message);
      else this.#context.log.error("request failed", error, { address: this.#peer.address });
      await this.#answer(ResponseCode.SERVER_ERROR);
    }
  }

  async #handle(header: RequestHeader, payload: Uint8Array): Promise<void> {
    switch (header.code) {
      case RequestCode.REGISTER:
        return await this.#register(decodeText(payload));
      case RequestCode.SEND_PUBLIC_KEY:
        return await this.#exchangeKey(header.clientId, payload);
      case RequestCode.RECONNECT:
        return await this.#reconnect(header.clientId, decodeText(payload));
      case RequestCode.CHECKSUM_MATCHED:
        return await this.#confirmFile(header.clientId, baseName(decodeText(payload)));
      case RequestCode.CHECKSUM_WRONG:
        return await this.#retryFile(header.clientId, baseName(decodeText(payload)));
      case RequestCode.GIVE_UP:
        return await this.#giveUpFile(header.clientId, baseName(decodeText(payload)));
    }
  }

  async #register(name: string): Promise<void> {
    const { db, registrations, clock } = this.#context;
    const clientCount = await db.countClients();
    const allowed = registrations.add(this.#peer.key, clientCount);
    if (allowed !== "ok") throw new RefusedError(allowed);
    const id = drawClientId();
    const added = PRINTABLE.test(name) && await db.addClient({ id, name, now: timestamp(clock) });
    if (!added) {
      this.#refuse("name is taken or not printable", { name });
      return await this.#answer(ResponseCode.REGISTRATION_FAILED);
    }
    this.#note("registered", { client: name });
    await this.#answer(ResponseCode.REGISTERED, id);
  }

  async #exchangeKey(clientId: Uint8Array, payload: Uint8Array): Promise<void> {
    const { nameField, publicKey } = protocol.decodePublicKeyPayload(payload);
    const client = await this.#findClient(clientId);
    if (client.name !== decodeText(nameField)) throw new RefusedError("name is not the client's");
    // The id travels in clear. If a key could be replaced, whoever has seen the id could take the client over.
    if (client.publicKey && client.publicKey.toHex() !== publicKey.toHex()) {
      throw new RefusedError("another public key is set");
    }
    const encryptedKey = await this.#newSessionKey(client, publicKey);
    this.#note("key exchanged", { client: client.name });
    const answer = protocol.encodeKeyPayload({ clientId, encryptedKey });
    await this.#answer(ResponseCode.KEY_EXCHANGED, answer);
  }

  async #reconnect(clientId: Uint8Array, name: string): Promise<void> {
    const client = await this.#context.db.findClient(clientId);
    if (!client?.publicKey || client.name !== name) {
      this.#refuse("reconnect of an unknown client", { name });
      return await this.#answer(ResponseCode.RECONNECT_REFUSED, clientId);
    }
    const encryptedKey = await this.#newSessionKey(client, client.publicKey);
    this.#note("reconnected", { client: name });
    const answer = protocol.encodeKeyPayload({ clientId, encryptedKey });
    await this.#answer(ResponseCode.RECONNECTED, answer);
  }

  async #newSessionKey(client: ClientRow, publicKey: Uint8Array): Promise<Uint8Array> {
    const { db, clock } = this.#context;
    const aesKey = drawSessionKey();
    const encryptedKey = await encryptSessionKey(publicKey, aesKey);
    const keyAddress = this.#peer.key;
    await db.setKeys(client.id, { publicKey, aesKey, keyAddress, now: timestamp(clock) });
    return encryptedKey;
  }

  /**
   * Receives a file. It is read by its content size: the payload size holds it in some clients and not in others.
   * A file that cannot be kept is read to its end all the same, or its client would never see the answer.
   */
  async #receiveFile(header: RequestHeader): Promise<boolean> {
    const prefix = protocol.decodeFilePrefix(
      await this.#channel.readExactly(protocol.FILE_PREFIX_BYTES),
    );
    const { contentBytes, nameField } = prefix;
    const { messageMs, stallMs } = this.#context.limits;
    const transferMs = contentBytes / CLASSIC.slowestBytesPerSecond * 1000;
    this.#channel.expect({ totalMs: messageMs + transferMs, silenceMs: stallMs });
    const sizes = [protocol.FILE_PREFIX_BYTES, protocol.FILE_PREFIX_BYTES + contentBytes];
    if (!sizes.includes(header.payloadBytes)) {
      this.#refuse(`content of ${contentBytes} bytes in a payload of ${header.payloadBytes}`);
      await this.#answer(ResponseCode.SERVER_ERROR);
      return false;
    }
    const content = new Content(this.#channel, contentBytes);
    await this.#attempt(async () => {
      try {
        await this.#storeContent(header.clientId, { contentBytes, nameField, content });
      } catch (error) {
        await content.skipRest();
        throw error;
      }
    });
    return true;
  }

  async #storeContent(
    clientId: Uint8Array,
    file: { contentBytes: number; nameField: Uint8Array; content: Content },
  ): Promise<void> {
    const { contentBytes, nameField, content } = file;
    if (contentBytes === 0 || contentBytes % AES_BLOCK_BYTES !== 0) {
      throw new ProtocolError(`content of ${contentBytes} bytes is not whole AES blocks`);
    }
    const client = await this.#findClient(clientId);
    this.#checkLogin(client);
    if (!client.aesKey) throw new RefusedError("no session key is set");
    const fileName = baseName(decodeText(nameField));
    const decryptor = await CbcDecryptor.create(client.aesKey);
    const { size, checksum } = await this.#context.files.receive(
      { clientId: client.id, fileName, owner: this, bytes: contentBytes },
      (upload) => decryptContent(content, decryptor, upload),
    );
    this.#note("file received", { client: client.name, file: fileName, bytes: size, checksum });
    const receipt = { clientId, contentBytes, nameField, checksum };
    await this.#answer(ResponseCode.FILE_RECEIVED, protocol.encodeFileReceipt(receipt));
  }

  async #confirmFile(clientId: Uint8Array, fileName: string): Promise<void> {
    const client = await this.#findClient(clientId);
    this.#checkLogin(client);
    const file = { clientId: client.id, fileName, owner: this };
    const row = await this.#context.files.confirm(file);
    if (!row) throw new ProtocolError("no file of this name waits for its confirmation");
    this.#note("file stored", { client: client.name, file: fileName, bytes: row.size });
    await this.#answer(ResponseCode.CONFIRMED, clientId);
  }

  async #retryFile(clientId: Uint8Array, fileName: string): Promise<void> {
    const client = await this.#findClient(clientId);
    this.#checkLogin(client);
    await this.#context.files.discard({ clientId: client.id, fileName, owner: this });
    this.#note("checksum wrong", { client: client.name, file: fileName });
    // Some clients take an answer here for the end, and some wait for one: see #waitForRequest().
    this.#answerOwed = protocol.encodeResponse(ResponseCode.CONFIRMED, clientId);
  }

  async #giveUpFile(clientId: Uint8Array, fileName: string): Promise<void> {
    const client = await this.#findClient(clientId);
    this.#checkLogin(client);
    await this.#context.files.discard({ clientId: client.id, fileName, owner: this });
    this.#note("checksum wrong for the last time", { client: client.name, file: fileName });
    await this.#answer(ResponseCode.CONFIRMED, clientId);
  }

  async #findClient(clientId: Uint8Array): Promise<ClientRow> {
    const client = await this.#context.db.findClient(clientId);
    if (!client) throw new RefusedError("unknown client");
    return client;
  }

  /**
   * Ids travel in clear, and whoever sends a file learns whether it decrypts and what it sums up to. From elsewhere, who
   * has only listened cannot use that to read what was sent, nor confirm or drop it.
   */
  #checkLogin(client: ClientRow): void {
    if (client.keyAddress === undefined || client.keyAddress === this.#peer.key) return;
    throw new RefusedError("the client logged in from another address");
  }

  async #answer(code: number, payload?: Uint8Array): Promise<void> {
    const { messageMs, stallMs } = this.#context.limits;
    this.#channel.expect({ totalMs: messageMs, silenceMs: stallMs }); // our own work took its time
    await this.#channel.write(protocol.encodeResponse(code, payload));
  }

  #note(event: string, fields: LogFields): void {
    this.#context.log.info(event, { address: this.#peer.address, ...fields });
  }

  #refuse(reason: string, fields: LogFields = {}): void {
    this.#context.log.warn("request refused", { address: this.#peer.address, reason, ...fields });
  }
}

/** Requests whose payload is a name. */
const NAME_REQUESTS: readonly number[] = [
  RequestCode.REGISTER,
  RequestCode.RECONNECT,
  RequestCode.CHECKSUM_MATCHED,
  RequestCode.CHECKSUM_WRONG,
  RequestCode.GIVE_UP,
];

/** Some clients send a name without the rest of its field. */
function isPayloadSize({ code, payloadBytes }: RequestHeader): boolean {
  if (code === RequestCode.SEND_PUBLIC_KEY) {
    return payloadBytes === protocol.PUBLIC_KEY_PAYLOAD_BYTES;
  }
  return NAME_REQUESTS.includes(code) && payloadBytes <= protocol.NAME_FIELD_BYTES;
}

/** @throws {ProtocolError} if the field is not UTF-8 */
function decodeText(field: Uint8Array): string {
  try {
    const padding = new Uint8Array(protocol.NAME_FIELD_BYTES - field.length);
    return protocol.decodeName(concatBytes(field, padding));
  } catch (cause) {
    throw new ProtocolError("name is not UTF-8", { cause });
  }
}

/**
 * A random UUID (version 4) that old clients can handle: without zero bytes, because some treat it as a C string,
 * and with bytes 7 and 15 of two hex digits, because some print it without leading zeros.
 */
function drawClientId(): Uint8Array {
  for (;;) {
    const id = Uint8Array.fromHex(crypto.randomUUID().replaceAll("-", ""));
    if (!id.includes(0) && id[7] >= 0x10 && id[15] >= 0x10) return id;
  }
}

function isPeersFault(error: unknown): error is Error {
  return error instanceof RefusedError || error instanceof ProtocolError ||
    error instanceof DamagedError;
}
