/**
 * The client's half of a conversation in protocol version 4 (docs/protocol_v4.md). One run may have several, also in
 * workers: {@link SessionOptions} is plain data. Requests are pipelined and repeated when a connection is lost, so a
 * caller sees an error only when it has to act on it:
 *
 * - {@link RefusedError} the server, or its pin, says no; {@link UnreachableError} it is gone for good;
 * - {@link SessionEndedError} draw another session id, ask HAS again; {@link StaleEventError} read events, sign again;
 * - {@link ProtocolError}, {@link JournalError} the server is not to be trusted.
 */
import type { JournalPoint } from "../journal.ts";
import { VAULT_CLIENT, WIRE } from "../limits.ts";
import {
  AnswerCode,
  decodeAppended,
  decodeBitmap,
  decodeMissing,
  decodeSeen,
  decodeSessionGrant,
  encodeIds,
  encodeInviteUpload,
  encodeSessionId,
  type EventsPage,
  type InviteUpload,
  type MissingRecords,
  type RecordAnswer,
  RecordState,
  RequestCode,
  type SeenDevice,
  type SessionGrant,
} from "../protocol_v4.ts";
import type { Welcome } from "../protocol_v4_login.ts";
import { decodeUsage, type Usage } from "../protocol_v4_usage.ts";
import { SessionEndedError } from "./answer_error.ts";
import { Link } from "./link_v4.ts";
import {
  askWire,
  connectWire,
  type DeviceLogin,
  eventsQuestion,
  logInDevice,
  logInRecovery,
  type RecoveryLogin,
  type ServerPlace,
} from "./login_v4.ts";
import { ByteWindow } from "./byte_window.ts";
import { type OnRecord, RecordStream } from "./record_stream.ts";
import type { Question } from "./request_v4.ts";
import type { Wire } from "./wire_v4.ts";

export interface SessionOptions {
  server: ServerPlace;
  login: DeviceLogin;
  /** Number of the newest event that is known: those after it come along with the login. */
  eventsAfter?: number;
  /** A further connection of a run that is under way: waits for a server that cannot be reached, as after a loss. */
  isFurther?: boolean;
}

/** What a commit gave: a place in the journal, or what the server lacks. */
export type CommitResult = { appended: JournalPoint } | { missing: MissingRecords };

export class VaultClientSession {
  readonly #link: Link;
  readonly #window: ByteWindow;
  readonly #puts: Set<Promise<void>>;
  readonly #state: { sessionId: Uint8Array | undefined };
  #firstPage: { after: number; page: EventsPage } | undefined;

  private constructor(
    { link, state, firstPage }: {
      link: Link;
      state: { sessionId: Uint8Array | undefined };
      firstPage: { after: number; page: EventsPage };
    },
  ) {
    this.#link = link;
    this.#state = state;
    this.#firstPage = firstPage;
    this.#puts = new Set();
    const { windowBytes } = link.welcome.limits;
    this.#window = new ByteWindow(Math.min(windowBytes, VAULT_CLIENT.windowBytes));
  }

  /** Connects and logs in as a device. */
  static connect(options: SessionOptions): Promise<VaultClientSession> {
    const { server, login, eventsAfter = 0, isFurther = false } = options;
    const { pin } = server;
    return VaultClientSession.#open({
      server,
      eventsAfter,
      isFirst: !isFurther,
      logIn: (wire) => logInDevice(wire, { pin, login, eventsAfter }),
    });
  }

  /** Connects and logs in with a recovery code: it may read and extend the journal. */
  static connectRecovery(
    { server, login }: { server: ServerPlace; login: RecoveryLogin },
  ): Promise<VaultClientSession> {
    const { pin } = server;
    return VaultClientSession.#open({
      server,
      eventsAfter: 0,
      isFirst: true,
      logIn: (wire) => logInRecovery(wire, { pin, login }),
    });
  }

  static async #open(
    { server, eventsAfter, isFirst, logIn }: {
      server: ServerPlace;
      eventsAfter: number;
      isFirst: boolean;
      logIn: Parameters<typeof Link.open>[0]["logIn"];
    },
  ): Promise<VaultClientSession> {
    const state: { sessionId: Uint8Array | undefined } = { sessionId: undefined };
    const { link, firstPage } = await Link.open({
      connect: () => connectWire(server),
      logIn,
      prepare: (wire) => reopenSession(wire, state.sessionId),
    }, { isFirst });
    return new VaultClientSession({
      link,
      state,
      firstPage: { after: eventsAfter, page: firstPage },
    });
  }

  /** What the newest login told. */
  get welcome(): Welcome {
    return this.#link.welcome;
  }

  /** The events after an event, up to the newest; each as bytes, unchecked. */
  async *events(after: number): AsyncGenerator<Uint8Array> {
    for (let known = after;;) {
      const page = await this.#readPage(known);
      yield* page.events;
      known += page.events.length;
      if (page.events.length === 0 || known >= page.headNumber) return;
    }
  }

  /** Appends a signed statement to the journal. */
  append(statement: Uint8Array): Promise<JournalPoint> {
    return this.#link.ask({
      code: RequestCode.APPEND,
      purpose: "add to the journal",
      payload: [statement],
      answers: { [AnswerCode.APPENDED]: decodeAppended },
    });
  }

  /** Leaves an invite, sealed, for the device that brings its token. */
  invite(upload: InviteUpload): Promise<void> {
    return this.#link.ask({
      code: RequestCode.INVITE,
      purpose: "leave an invite",
      payload: [encodeInviteUpload(upload)],
      answers: { [AnswerCode.DONE]: () => {} },
    });
  }

  /** When each device logged in last, by the server's word. */
  seen(): Promise<SeenDevice[]> {
    return this.#link.ask({
      code: RequestCode.SEEN,
      purpose: "ask when devices were seen",
      payload: [],
      answers: { [AnswerCode.SEEN]: decodeSeen },
    });
  }

  /** What the vault takes, and what is known to be damaged, by the server's word. @throws {NotUnderstoodError} */
  status(): Promise<Usage> {
    return this.#link.ask({
      code: RequestCode.STATUS,
      purpose: "ask for the vault's status",
      payload: [],
      answers: { [AnswerCode.USAGE]: decodeUsage },
    });
  }

  /** Opens the session of a backup run, or joins it from a further connection. The id has 16 bytes. */
  async openSession(sessionId: Uint8Array): Promise<SessionGrant> {
    const grant = await this.#link.ask(openQuestion(sessionId));
    this.#state.sessionId = sessionId;
    return grant;
  }

  /** Ends the session: what it has put and not committed may be deleted. */
  async closeSession(): Promise<void> {
    const { sessionId } = this.#state;
    if (sessionId === undefined) return;
    await this.#link.ask({
      code: RequestCode.CLOSE,
      purpose: "end the session",
      payload: [encodeSessionId(sessionId)],
      answers: { [AnswerCode.DONE]: () => {} },
    });
    this.#state.sessionId = undefined;
  }

  /**
   * For each id, whether its record, and everything below it, is there. Any number of ids.
   *
   * @param silenceMs longest silence, where the server may have to follow every link; undefined for the usual one
   */
  async has(ids: Uint8Array[], { silenceMs }: { silenceMs?: number } = {}): Promise<boolean[]> {
    const parts: Promise<boolean[]>[] = [];
    for (let i = 0; i < ids.length; i += WIRE.idsPerRequestMax) {
      const part = ids.slice(i, i + WIRE.idsPerRequestMax);
      parts.push(this.#link.ask({
        code: RequestCode.HAS,
        purpose: "look for records",
        payload: [encodeIds(part)],
        answers: { [AnswerCode.BITMAP]: (payload) => decodeBitmap(payload, part.length) },
        ...(silenceMs === undefined ? {} : { silenceMs }),
      }));
    }
    return (await Promise.all(parts)).flat();
  }

  /**
   * Puts a record, whole or in parts; done when the server has it for good. Calls may overlap, and should: the server answers for many
   * at once. Past the window a call waits; {@link waitForRoom} tells before the next record is made. The record must
   * not change until then.
   */
  put(id: Uint8Array, ...record: Uint8Array[]): Promise<void> {
    const putting = this.#put(id, record);
    this.#puts.add(putting);
    putting.then(() => this.#puts.delete(putting), () => this.#puts.delete(putting));
    return putting;
  }

  /** Waits until a record of that size would be sent at once. */
  async waitForRoom(bytes: number): Promise<void> {
    await this.#window.enter(bytes);
    this.#window.leave(bytes);
  }

  /** Waits until every PUT before it is answered, and has the server not wait for more. */
  async flush(): Promise<void> {
    const puts = [...this.#puts];
    await this.#link.ask({
      code: RequestCode.FLUSH,
      purpose: "store records",
      payload: [],
      answers: { [AnswerCode.DONE]: () => {} },
    });
    await Promise.all(puts); // of which a busy server may have put some off
  }

  /** Makes a root a snapshot, unless something that it needs is missing. */
  commit(statement: Uint8Array): Promise<CommitResult> {
    return this.#link.ask<CommitResult>({
      code: RequestCode.COMMIT,
      purpose: "commit the snapshot",
      payload: [statement],
      answers: {
        [AnswerCode.APPENDED]: (payload) => ({ appended: decodeAppended(payload) }),
        [AnswerCode.MISSING]: (payload) => ({ missing: decodeMissing(payload) }),
      },
      silenceMs: VAULT_CLIENT.commitMs,
    });
  }

  /**
   * Gets records, in the order in which they lie on the server's disk. Nothing else is read from this connection while
   * `onRecord` is under way, so it must not wait for anything that comes over it.
   *
   * @param ids 1 to 8192
   */
  get(ids: Uint8Array[], onRecord: OnRecord): Promise<void> {
    return this.#stream(new RecordStream(RequestCode.GET, ids, onRecord));
  }

  /** The same without the server's look at them. What is not right is to be got: then the server repairs it, if it can. */
  read(ids: Uint8Array[], onRecord: OnRecord): Promise<void> {
    return this.#stream(new RecordStream(RequestCode.READ, ids, onRecord));
  }

  /** Gets one record; undefined if it is missing or damaged at the server. */
  async getOne(id: Uint8Array): Promise<Uint8Array | undefined> {
    const { state, record } = await this.getAnswer(id);
    return state === RecordState.FOUND ? record : undefined;
  }

  /** Gets one record, or what is wrong with it. */
  async getAnswer(id: Uint8Array): Promise<RecordAnswer> {
    let found: RecordAnswer = { index: 0, state: RecordState.MISSING, record: new Uint8Array(0) };
    await this.get([id], (answer) => void (found = answer));
    return found;
  }

  close(): void {
    this.#link.close();
  }

  #stream(stream: RecordStream): Promise<void> {
    this.#link.send(stream);
    return stream.done;
  }

  async #put(id: Uint8Array, record: Uint8Array[]): Promise<void> {
    const size = record.reduce((sum, part) => sum + part.length, 0);
    await this.#window.enter(size);
    try {
      await this.#link.ask({
        code: RequestCode.PUT,
        purpose: "store a record",
        payload: [id, ...record],
        answers: { [AnswerCode.STORED]: () => {} },
      });
    } finally {
      this.#window.leave(size);
    }
  }

  async #readPage(after: number): Promise<EventsPage> {
    const first = this.#firstPage;
    this.#firstPage = undefined;
    if (first?.after === after) return first.page;
    return await this.#link.ask(eventsQuestion(after));
  }
}

/** That the session has ended meanwhile is told to the requests that need it. */
async function reopenSession(wire: Wire, sessionId: Uint8Array | undefined): Promise<void> {
  if (sessionId === undefined) return;
  try {
    await askWire(wire, openQuestion(sessionId));
  } catch (error) {
    if (!(error instanceof SessionEndedError)) throw error;
  }
}

function openQuestion(sessionId: Uint8Array): Question<SessionGrant> {
  return {
    code: RequestCode.OPEN,
    purpose: "open a session",
    payload: [encodeSessionId(sessionId)],
    answers: { [AnswerCode.SESSION]: decodeSessionGrant },
  };
}
