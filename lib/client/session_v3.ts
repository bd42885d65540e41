/**
 * The client's half of a conversation in protocol version 3 (docs/protocol.md, "Conversation"). It takes one connection;
 * a new one only when the server closes it, as some do after every answer: the server knows a client by its id.
 * What else real servers do is tolerated as listed in "What real peers do" there.
 */
import type { Channel } from "../channel.ts";
import { decryptSessionKey } from "../crypto.ts";
import {
  ExitCode,
  HoldfastError,
  ProtocolError,
  RefusedError,
  UnreachableError,
} from "../errors.ts";
import { CLASSIC, CLIENT_DEFAULTS } from "../limits.ts";
import * as protocol from "../protocol.ts";
import { RequestCode, ResponseCode } from "../protocol.ts";
import { within } from "../time.ts";
import { type SourceFile, streamFile } from "./source_file.ts";

const NO_ID = new Uint8Array(protocol.ID_BYTES);
/** How often it is looked whether the server still takes what is sent, in milliseconds. */
const WATCH_MS = 250;
/** After a wrong checksum some servers answer something of their own before the receipt. */
const STRAY_CODES: readonly number[] = [ResponseCode.CONFIRMED, ResponseCode.SERVER_ERROR];
/** Pauses before a lost connection is made again, in milliseconds; then it is given up. */
const RECONNECT_MS = [0, 500, 2000];

interface Answer {
  code: number;
  payload: Uint8Array;
}

/** How the server knows this client from a login on. */
export interface Login {
  clientId: Uint8Array;
  sessionKey: Uint8Array<ArrayBuffer>;
}

export interface ClassicSessionOptions {
  connect: () => Promise<Channel>;
  /** Told of each error of the server, before the message is repeated. */
  onServerError: () => void;
  /** Longest wait for an answer besides the time that a file takes, in milliseconds. */
  answerMs: number;
}

export class ClassicClientSession {
  readonly #options: ClassicSessionOptions;
  #channel: Channel | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: ClassicSessionOptions) {
    this.#options = options;
  }

  /** Connects. @throws {UnreachableError} at once if that fails: nothing is under way yet */
  async open(): Promise<void> {
    this.#channel = await this.#options.connect();
    this.#watch = setInterval(() => this.#checkDeadline(), WATCH_MS);
  }

  close(): void {
    clearInterval(this.#watch);
    this.#disconnect();
  }

  #disconnect(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Ends a connection whose server does not take what is sent. */
  #checkDeadline(): void {
    if (this.#channel?.isOverdue(performance.now())) {
      this.#channel.abort("Cannot send: the server takes nothing");
    }
  }

  /** Registers a name. Returns the new client's id. @throws {RefusedError} if the name is taken */
  async register(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.#request("register", {
      send: sendMessage(RequestCode.REGISTER, NO_ID, protocol.encodeName(name)),
      errors: [ResponseCode.SERVER_ERROR, ResponseCode.REGISTRATION_FAILED],
    });
    expectCode(answer, [ResponseCode.REGISTERED]);
    if (answer.payload.length < protocol.ID_BYTES) throw shortAnswer(answer);
    return answer.payload.slice(0, protocol.ID_BYTES);
  }

  /** Sends the public key. */
  async exchangeKey(
    name: string,
    { clientId, publicKey, privateKey }: {
      clientId: Uint8Array;
      publicKey: Uint8Array;
      privateKey: Uint8Array;
    },
  ): Promise<Login> {
    const payload = protocol.encodePublicKeyPayload({
      nameField: protocol.encodeName(name),
      publicKey,
    });
    const answer = await this.#request("send the public key", {
      send: sendMessage(RequestCode.SEND_PUBLIC_KEY, clientId, payload),
    });
    expectCode(answer, [ResponseCode.KEY_EXCHANGED]);
    return await openLogin(answer, { clientId, privateKey });
  }

  /** Sends the public key of a registration that was cut. Returns undefined if the server knows nothing of it. */
  async resume(
    name: string,
    keys: { clientId: Uint8Array; publicKey: Uint8Array; privateKey: Uint8Array },
  ): Promise<Login | undefined> {
    try {
      return await this.exchangeKey(name, keys);
    } catch (error) {
      if (error instanceof ServerError) return undefined;
      throw error;
    }
  }

  /** Logs in. Returns undefined if the server does not know this client. */
  async reconnect(
    name: string,
    { clientId, privateKey }: { clientId: Uint8Array; privateKey: Uint8Array },
  ): Promise<Login | undefined> {
    let answer: Answer;
    try {
      answer = await this.#request("reconnect", {
        send: sendMessage(RequestCode.RECONNECT, clientId, protocol.encodeName(name)),
      });
    } catch (error) {
      // Some servers know no other answer for an unknown client.
      if (error instanceof ServerError) return undefined;
      throw error;
    }
    if (answer.code === ResponseCode.RECONNECT_REFUSED) return undefined;
    expectCode(answer, [ResponseCode.RECONNECTED, ResponseCode.KEY_EXCHANGED]);
    return await openLogin(answer, { clientId, privateKey });
  }

  /**
   * Sends a file until the server's checksum is right.
   *
   * @returns its checksum
   * @throws {ChecksumError} if the checksum was wrong every time; the session can go on
   */
  async sendFile(file: SourceFile, { clientId, sessionKey }: Login): Promise<number> {
    const nameField = protocol.encodeName(file.name);
    for (let repeats = 0;; repeats++) {
      let checksum = 0;
      const answer = await this.#request(`send file ${file.name}`, {
        send: async (channel) => {
          checksum = await streamFile(file, { channel, clientId, nameField, sessionKey });
        },
        waitMs: this.#options.answerMs +
          file.size / CLIENT_DEFAULTS.slowestAnswerBytesPerSecond * 1000,
        skipStray: repeats > 0,
      });
      expectCode(answer, [ResponseCode.FILE_RECEIVED]);
      if (answer.payload.length !== protocol.FILE_RECEIPT_BYTES) throw shortAnswer(answer);
      if (protocol.decodeFileReceipt(answer.payload).checksum === checksum) {
        const send = sendMessage(RequestCode.CHECKSUM_MATCHED, clientId, nameField);
        expectCode(await this.#request(`confirm file ${file.name}`, { send }), [
          ResponseCode.CONFIRMED,
        ]);
        return checksum;
      }
      if (repeats === CLASSIC.repeatsMax) {
        await this.#giveUpFile(clientId, nameField);
        throw new ChecksumError(file.name);
      }
      await this.#tell(sendMessage(RequestCode.CHECKSUM_WRONG, clientId, nameField));
    }
  }

  /** Says that no more repeats follow. Whatever is answered, or not, the file was not stored. */
  async #giveUpFile(clientId: Uint8Array, nameField: Uint8Array): Promise<void> {
    await this.#tell(sendMessage(RequestCode.GIVE_UP, clientId, nameField));
    const answered = await this.#readOne(CLASSIC.retryAnswerMs).catch((error) => {
      if (!(error instanceof UnreachableError)) throw error;
    });
    if (!answered) this.#disconnect(); // or a late answer would be taken for that of the next message
  }

  /** Sends a message that may stay without an answer. A lost connection shows at the next one. */
  async #tell(send: SendMessage): Promise<void> {
    try {
      if (this.#channel) await send(this.#channel);
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      this.#disconnect();
    }
  }

  /** Sends a message and reads its answer; after an error of the server the message is repeated. */
  async #request(purpose: string, { errors = [ResponseCode.SERVER_ERROR], ...request }: {
    send: SendMessage;
    errors?: readonly number[];
    waitMs?: number;
    skipStray?: boolean;
  }): Promise<Answer> {
    for (let repeats = 0;; repeats++) {
      const skipStray = request.skipStray === true && repeats === 0;
      const answer = await this.#exchange({ ...request, skipStray });
      if (!errors.includes(answer.code)) return answer;
      this.#options.onServerError();
      if (repeats < CLASSIC.repeatsMax) continue;
      if (answer.code === ResponseCode.REGISTRATION_FAILED) {
        throw new RefusedError(`Cannot ${purpose}: the server answered ${answer.code} each time`, {
          hint: "the name is taken; choose another in line 2 of transfer.info or with --name",
        });
      }
      throw new ServerError(
        `Cannot ${purpose}: the server answered ${answer.code} ${repeats + 1} times`,
      );
    }
  }

  /** Sends and reads once. If the connection is lost, the same again over a new one. */
  async #exchange({ send, waitMs = this.#options.answerMs, skipStray = false }: {
    send: SendMessage;
    waitMs?: number;
    skipStray?: boolean;
  }): Promise<Answer> {
    for (let losses = 0;; losses++) {
      try {
        this.#channel ??= await this.#options.connect();
        this.#channel.expect({ totalMs: Infinity, silenceMs: this.#options.answerMs });
        await send(this.#channel);
        this.#channel.expect({ totalMs: Infinity, silenceMs: Infinity });
        return await this.#readAnswer({ waitMs, skipStray: skipStray && losses === 0 });
      } catch (error) {
        this.#disconnect();
        if (!(error instanceof UnreachableError) || losses === RECONNECT_MS.length) throw error;
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS[losses]));
      }
    }
  }

  /** The next answer; with `skipStray`, one that does not belong to the file that was sent is skipped. */
  async #readAnswer(
    { waitMs, skipStray = false }: { waitMs: number; skipStray?: boolean },
  ): Promise<Answer> {
    const answer = await this.#readOne(waitMs);
    if (answer === undefined) {
      throw new NoAnswerError(`Cannot get an answer: nothing came for ${waitMs / 1000} s`);
    }
    if (!skipStray || !STRAY_CODES.includes(answer.code)) return answer;
    const ownMs = CLASSIC.retryAnswerMs + waitMs - this.#options.answerMs;
    return await this.#readOne(ownMs) ?? answer;
  }

  /** An answer, or undefined if none begins within `waitMs` milliseconds. */
  async #readOne(waitMs: number): Promise<Answer | undefined> {
    const channel = this.#channel;
    if (!channel) throw new UnreachableError("Connection closed");
    if (!(await channel.waitForData(waitMs))) return undefined;
    const reading = readMessage(channel);
    const answer = await within(reading, this.#options.answerMs, undefined);
    if (answer === undefined) channel.abort("Cannot get an answer: it stopped in the middle");
    return await reading;
  }
}

type SendMessage = (channel: Channel) => Promise<void>;

function sendMessage(code: number, clientId: Uint8Array, payload: Uint8Array): SendMessage {
  const message = protocol.encodeRequest(code, { clientId, payload });
  return (channel) => channel.write(message);
}

async function readMessage(channel: Channel): Promise<Answer> {
  const header = await channel.read(protocol.RESPONSE_HEADER_BYTES);
  if (header === null) throw new UnreachableError("Connection closed by the server");
  const { code, payloadBytes } = protocol.decodeResponseHeader(header);
  if (payloadBytes > CLASSIC.answerPayloadBytesMax) {
    throw new ProtocolError(`Cannot read answer ${code}: a payload of ${payloadBytes} bytes`);
  }
  return { code, payload: await channel.readExactly(payloadBytes) };
}

/** The server answered with an error each time. */
export class ServerError extends HoldfastError {
  override name = "ServerError";
}

/** The server is there but says nothing. Asking again would wait as long again. */
export class NoAnswerError extends HoldfastError {
  override name = "NoAnswerError";
  override readonly exitCode = ExitCode.UNREACHABLE;
}

/** The server's checksum of a file was wrong each time. */
export class ChecksumError extends HoldfastError {
  override name = "ChecksumError";

  constructor(fileName: string) {
    super(`Cannot send file ${fileName}: the checksum was wrong ${CLASSIC.repeatsMax + 1} times`, {
      hint: "the file was not stored; something between here and there changes what is sent",
    });
  }
}

function expectCode(answer: Answer, codes: readonly number[]): void {
  if (codes.includes(answer.code)) return;
  throw new ProtocolError(`Unexpected answer ${answer.code} from the server: expected ${codes[0]}`);
}

function shortAnswer({ code, payload }: Answer): ProtocolError {
  return new ProtocolError(`Cannot read answer ${code}: its payload has ${payload.length} bytes`);
}

/** The session key and the id in an answer; some servers give a client another id when it comes back. */
async function openLogin(
  answer: Answer,
  { clientId, privateKey }: { clientId: Uint8Array; privateKey: Uint8Array },
): Promise<Login> {
  if (answer.payload.length !== protocol.KEY_PAYLOAD_BYTES) throw shortAnswer(answer);
  const { clientId: answered, encryptedKey } = protocol.decodeKeyPayload(answer.payload);
  const isEmpty = answered.every((byte) => byte === 0);
  return {
    clientId: isEmpty ? clientId : answered.slice(),
    sessionKey: await decryptSessionKey(privateKey, encryptedKey),
  };
}
