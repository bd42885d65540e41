/**
 * A server of version 4 in memory, which can be told to lie: it keeps what it is given, checks little, and asks its
 * {@link Lies} before it answers.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Channel } from "../../lib/channel.ts";
import { HoldfastError } from "../../lib/errors.ts";
import { encodeEvent, JournalError } from "../../lib/journal.ts";
import { JournalState } from "../../lib/journal_state.ts";
import { checkLogin, encryptLoginSecret, importRsaPublicKey } from "../../lib/login.ts";
import * as wire from "../../lib/protocol_v4.ts";
import { AnswerCode, ErrorCode, RecordState, RequestCode } from "../../lib/protocol_v4.ts";
import * as login from "../../lib/protocol_v4_login.ts";
import { encodeUsage, type Usage } from "../../lib/protocol_v4_usage.ts";
import { openServerKey, type ServerKey } from "../../lib/server/certificate.ts";
import type { ServerPlace } from "../../lib/client/login_v4.ts";

export interface Lies {
  /** What a GET or READ of this id gives; undefined for "missing". */
  record(
    id: Uint8Array,
    record: Uint8Array | undefined,
    code: number,
  ): Uint8Array | undefined;
  /** Waited for before that. */
  delay(id: Uint8Array): Promise<void>;
  /** The events that the server shows. */
  events(events: Uint8Array[]): Uint8Array[];
  /** Whether the connection is cut in place of the answer to a request. */
  cuts(code: number, count: number): boolean;
  /** An error in place of the answer. */
  error(code: number, count: number): number | undefined;
}

const HONEST: Lies = {
  record: (_, record) => record,
  delay: () => Promise.resolve(),
  events: (events) => events,
  cuts: () => false,
  error: () => undefined,
};

class Refusal extends Error {
  constructor(readonly code: number, text = "") {
    super(text);
  }
}

interface Conversation {
  channel: Channel;
  hello?: login.Hello;
  nonce?: Uint8Array;
  secret?: Uint8Array;
  isMember: boolean;
  /** Ids of PUTs that wait to be acknowledged. */
  puts: number[];
}

export class FakeServer {
  lies: Lies = { ...HONEST };
  /** Undefined: it knows no STATUS. */
  usage: Usage | undefined;
  /** Its clock. */
  now = Date.now;
  /** What WELCOME says of silence. */
  idleMs = 60_000;
  /** How often each request came. */
  readonly counts = new Map<number, number>();
  readonly records = new Map<string, Uint8Array>();
  /** Hashes of open tokens of new vaults and of invites, with the bundles of the latter. */
  readonly tokens = new Map<string, Uint8Array | undefined>();
  events: Uint8Array[] = [];
  journal = new JournalState();
  /** What used tokens were used for, and the answer. */
  readonly #used = new Map<string, { statement: string; answer: wire.Appended }>();
  readonly #key: ServerKey;
  #listener: Deno.TlsListener;
  #channels = new Set<Channel>();
  #serving: Promise<void>;
  #isStopped = false;

  private constructor(key: ServerKey, listener: Deno.TlsListener) {
    this.#key = key;
    this.#listener = listener;
    this.#serving = this.#serve(listener);
  }

  static async start(folder: string): Promise<FakeServer> {
    const path = join(folder, `server-${crypto.randomUUID().slice(0, 8)}`);
    Deno.mkdirSync(path);
    const key = await openServerKey(path);
    return new FakeServer(key, listen(key, 0));
  }

  get place(): ServerPlace {
    const { port } = this.#listener.addr as Deno.NetAddr;
    const addresses = [{ hostname: "127.0.0.1", port }];
    return { addresses, pin: this.#key.pin, certificatePem: this.#key.pem };
  }

  /** A token for a new vault. */
  drawToken(): Uint8Array {
    const token = crypto.getRandomValues(new Uint8Array(32));
    this.tokens.set(hashOf(token), undefined);
    return token;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const channel of this.#channels) channel.close();
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#listener.close();
    this.cut();
    await this.#serving;
  }

  async #serve(listener: Deno.TlsListener): Promise<void> {
    const open = new Set<Promise<void>>();
    for (;;) {
      let conn: Deno.TlsConn;
      try {
        conn = await listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) {
          break;
        }
        continue; // somebody hung up within the handshake
      }
      const talking = this.#converse(conn).catch((error) => {
        if (!(error instanceof HoldfastError)) console.error("fake server:", error);
      });
      open.add(talking);
      talking.finally(() => open.delete(talking));
    }
    await Promise.all(open);
  }

  async #converse(conn: Deno.TlsConn): Promise<void> {
    const channel = new Channel(conn);
    this.#channels.add(channel);
    const conversation: Conversation = { channel, isMember: false, puts: [] };
    try {
      for (;;) {
        const header = await channel.read(wire.FRAME_HEADER_BYTES);
        if (header === null) return;
        const { code, requestId, payloadBytes } = wire.decodeFrameHeader(header);
        const payload = await channel.readExactly(payloadBytes);
        const count = (this.counts.get(code) ?? 0) + 1;
        this.counts.set(code, count);
        if (this.lies.cuts(code, count)) return;
        try {
          const error = this.lies.error(code, count);
          if (error !== undefined) throw new Refusal(error, "told to say so \x1b[31m");
          await this.#answer(conversation, { code, requestId, payload });
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          const body = wire.encodeError({ code: error.code, text: error.message });
          await channel.write(wire.encodeFrame(AnswerCode.ERROR, { requestId, payload: body }));
          if (error.code === ErrorCode.PROTOCOL) return;
        }
        if (conversation.puts.length > 0 && !(await channel.waitForData(5))) {
          await this.#acknowledge(conversation);
        }
      }
    } finally {
      this.#channels.delete(channel);
      channel.close();
    }
  }

  async #answer(
    conversation: Conversation,
    { code, requestId, payload }: { code: number; requestId: number; payload: Uint8Array },
  ): Promise<void> {
    const { channel } = conversation;
    const say = (code: number, payload = new Uint8Array(0), flags = 0) =>
      channel.write(wire.encodeFrame(code, { requestId, payload, flags }));
    const isStranger = code < RequestCode.PING;
    if (!isStranger && code !== RequestCode.PING && !conversation.isMember) {
      throw new Refusal(ErrorCode.PROTOCOL);
    }
    switch (code) {
      case RequestCode.HELLO:
        return await say(AnswerCode.CHALLENGE, await this.#challenge(conversation, payload));
      case RequestCode.PROVE:
        return await say(AnswerCode.WELCOME, this.#welcome(conversation, payload));
      case RequestCode.FOUND:
      case RequestCode.JOIN:
        return await say(AnswerCode.APPENDED, wire.encodeAppended(this.#enrol(payload)));
      case RequestCode.FETCH_INVITE: {
        const bundle = this.tokens.get(hashOf(login.decodeToken(payload)));
        if (bundle === undefined) throw new Refusal(ErrorCode.BAD_INVITE);
        return await say(AnswerCode.BUNDLE, new Uint8Array(bundle));
      }
      case RequestCode.PING:
        return await say(AnswerCode.DONE);
      case RequestCode.EVENTS: {
        const events = this.lies.events(this.events);
        const after = wire.decodeEventsAfter(payload);
        const page = events.slice(after, after + 50);
        return await say(
          AnswerCode.EVENTS,
          wire.encodeEventsPage({ headNumber: events.length, events: page }),
        );
      }
      case RequestCode.APPEND:
        return await say(AnswerCode.APPENDED, wire.encodeAppended(this.append(payload)));
      case RequestCode.INVITE: {
        const { tokenHash, bundle } = wire.decodeInviteUpload(payload);
        this.tokens.set(tokenHash.toHex(), bundle.slice());
        return await say(AnswerCode.DONE);
      }
      case RequestCode.SEEN:
        return await say(AnswerCode.SEEN, wire.encodeSeen([]));
      case RequestCode.STATUS:
        if (this.usage === undefined) throw new Refusal(ErrorCode.PROTOCOL);
        return await say(AnswerCode.USAGE, encodeUsage(this.usage));
      case RequestCode.OPEN:
        return await say(AnswerCode.SESSION, wire.encodeSessionGrant({ epoch: 1, expiresMs: 1e6 }));
      case RequestCode.HAS: {
        const bits = wire.decodeIds(payload).map((id) => this.records.has(id.toHex()));
        return await say(AnswerCode.BITMAP, wire.encodeBitmap(bits));
      }
      case RequestCode.PUT: {
        const { id, record } = wire.decodePut(payload);
        if (hashOf(record) !== id.toHex()) throw new Refusal(ErrorCode.BAD_RECORD);
        this.records.set(id.toHex(), record.slice());
        conversation.puts.push(requestId);
        return;
      }
      case RequestCode.FLUSH:
        await this.#acknowledge(conversation);
        return await say(AnswerCode.DONE);
      case RequestCode.COMMIT:
        return await say(AnswerCode.APPENDED, wire.encodeAppended(this.append(payload)));
      case RequestCode.CLOSE:
        return await say(AnswerCode.DONE);
      case RequestCode.GET:
      case RequestCode.READ: {
        const ids = wire.decodeIds(payload);
        for (let i = ids.length - 1; i >= 0; i--) { // any order is right
          await this.lies.delay(ids[i]);
          const record = this.lies.record(ids[i], this.records.get(ids[i].toHex()), code);
          const state = record === undefined ? RecordState.MISSING : RecordState.FOUND;
          const answer = { index: i, state, record: record ?? new Uint8Array(0) };
          await say(AnswerCode.RECORD, wire.encodeRecordAnswer(answer), i > 0 ? wire.FLAG_MORE : 0);
        }
        return;
      }
      default:
        throw new Refusal(ErrorCode.PROTOCOL);
    }
  }

  async #acknowledge({ channel, puts }: Conversation): Promise<void> {
    if (puts.length === 0) return;
    const payload = wire.encodeStored(puts);
    const requestId = puts.at(-1)!;
    puts.length = 0;
    await channel.write(wire.encodeFrame(AnswerCode.STORED, { requestId, payload }));
  }

  async #challenge(
    conversation: Conversation,
    payload: Uint8Array,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const hello = login.decodeHello(payload);
    const nonce = crypto.getRandomValues(new Uint8Array(32));
    Object.assign(conversation, { hello, nonce });
    if (hello.kind === login.LoginKind.RECOVERY) {
      if (this.journal.facts.recovery.id.toHex() !== hello.id.toHex()) {
        throw new Refusal(ErrorCode.UNKNOWN);
      }
      return login.encodeChallenge({ nonce, cipher: new Uint8Array(0) });
    }
    const device = this.journal.device(hello.id);
    if (device === undefined) throw new Refusal(ErrorCode.UNKNOWN);
    if (device.revoked) throw new Refusal(ErrorCode.FORBIDDEN);
    const secret = crypto.getRandomValues(new Uint8Array(32));
    conversation.secret = secret;
    const key = await importRsaPublicKey(device.keys.rsa);
    return login.encodeChallenge({ nonce, cipher: await encryptLoginSecret(key, secret) });
  }

  #welcome(conversation: Conversation, payload: Uint8Array): Uint8Array<ArrayBuffer> {
    const { hello, nonce, secret } = conversation;
    if (hello === undefined || nonce === undefined) throw new Refusal(ErrorCode.PROTOCOL);
    const proof = login.decodeProof(payload, hello.kind);
    const challenge = { pin: this.#key.pin, signer: hello.id, nonce };
    if (secret !== undefined && !checkLogin(secret, { challenge, proof })) {
      throw new Refusal(ErrorCode.BAD_PROOF);
    }
    conversation.isMember = true;
    const events = this.lies.events(this.events);
    return login.encodeWelcome({
      vaultId: this.journal.facts.vaultId,
      role: this.journal.device(hello.id)?.role ?? login.RECOVERY_ROLE,
      headNumber: events.length,
      headHash: createHash("sha256").update(events.at(-1)!).digest(),
      timeMs: this.now(),
      limits: { windowBytes: 48 << 20, idleMs: this.idleMs },
    });
  }

  #enrol(payload: Uint8Array): wire.Appended {
    const { token, statement } = login.decodeEnrolment(payload);
    const name = hashOf(token);
    const used = this.#used.get(name);
    if (used?.statement === statement.toHex()) return used.answer;
    if (!this.tokens.delete(name)) throw new Refusal(ErrorCode.BAD_INVITE);
    const answer = this.append(statement);
    this.#used.set(name, { statement: statement.toHex(), answer });
    return answer;
  }

  /** Puts a statement into the journal. */
  append(statement: Uint8Array): wire.Appended {
    const { number, hash } = this.journal.newest;
    for (const [index, event] of this.events.entries()) {
      if (event.subarray(-statement.length).toHex() !== statement.toHex()) continue;
      return { number: index + 1, hash: createHash("sha256").update(event).digest() };
    }
    const timeMs = Math.max(this.now(), this.journal.isEmpty ? 0 : this.journal.facts.timeMs);
    const event = encodeEvent({ number: number + 1, previous: hash, timeMs }, statement);
    try {
      const placed = this.journal.apply(event);
      this.events.push(event);
      return { number: placed.number, hash: placed.hash };
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      throw new Refusal(
        error.fault === "stale" ? ErrorCode.STALE_EVENT : ErrorCode.BAD_EVENT,
        error.message,
      );
    }
  }
}

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function listen(key: ServerKey, port: number): Deno.TlsListener {
  return Deno.listenTls({
    hostname: "127.0.0.1",
    port,
    cert: key.pem,
    key: key.privateKeyPem,
    alpnProtocols: [wire.ALPN],
  });
}
