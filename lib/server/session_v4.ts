/**
 * The server's half of a conversation in protocol version 4 (docs/protocol_v4.md). One loop reads a request, checks that
 * the state and the permissions of the peer allow it, and answers; PUTs are answered later, when they are durable.
 * Nothing is read while the peer does not take its answers.
 */
import { ByteWriter, concatBytes } from "../bytes.ts";
import type { Channel } from "../channel.ts";
import type { RecordDatabase } from "../db_records.ts";
import { describeError, UnreachableError } from "../errors.ts";
import { CLASSIC, LINGER, STORE, VAULT, WIRE } from "../limits.ts";
import type { Log, LogFields } from "../log.ts";
import * as v4 from "../protocol_v4.ts";
import { AnswerCode, ErrorCode, RequestCode } from "../protocol_v4.ts";
import * as login from "../protocol_v4_login.ts";
import { encodeUsage } from "../protocol_v4_usage.ts";
import type { Clock } from "../time.ts";
import type { Activity } from "./activity.ts";
import { AnswerQueue } from "./answer_queue.ts";
import type { BackupSessions } from "./backup_sessions.ts";
import { type Budget, type Share, takeRoom } from "./budget.ts";
import { fetchBundle, foundVault, joinVault, keepInvite } from "./enrolment.ts";
import type { Peer } from "./listener.ts";
import { beginLogin, checkProof, type PendingLogin } from "./login_v4.ts";
import { Member } from "./member_v4.ts";
import type { ConnectedMember, Members } from "./members.ts";
import { findRole, permissionFor, type Permissions } from "./permissions.ts";
import { Puts } from "./puts.ts";
import type { Metrics } from "./metrics.ts";
import type { ReadRecord } from "./record_reader.ts";
import { decodeRequest, errorAnswer, RequestError } from "./request_error.ts";
import type { Vault, VaultStore } from "./vault_store.ts";

export interface VaultLimits {
  idleMs: number;
  loginMs: number;
  messageMs: number;
  stallMs: number;
}

/** What all sessions of a server share. */
export interface VaultContext {
  store: VaultStore;
  records: RecordDatabase;
  sessions: BackupSessions;
  activity: Activity;
  members: Members;
  /** Of this server's key. */
  pin: Uint8Array;
  budget: Budget;
  limits: VaultLimits;
  log: Log;
  clock: Clock;
  metrics?: Metrics;
  isStopping: () => boolean;
}

/** Where a connection is in the login. */
type State =
  | { name: "stranger" }
  | { name: "challenged"; pending: PendingLogin }
  | { name: "member"; member: Member; connected: ConnectedMember };

interface Request {
  code: number;
  requestId: number;
  payload: Uint8Array;
  /** The memory of the payload. Released after the request, unless a PUT keeps it. */
  share: Share;
}

/** When a request is allowed: in one state, or for a member with a permission. */
const RULES: ReadonlyMap<number, "any" | "stranger" | "challenged" | keyof Permissions> = new Map([
  [RequestCode.HELLO, "stranger"],
  [RequestCode.PROVE, "challenged"],
  [RequestCode.FOUND, "stranger"],
  [RequestCode.FETCH_INVITE, "stranger"],
  [RequestCode.JOIN, "stranger"],
  [RequestCode.PING, "any"],
  [RequestCode.EVENTS, "list"],
  [RequestCode.APPEND, "list"], // and what the kind of the statement needs
  [RequestCode.INVITE, "admin"],
  [RequestCode.SEEN, "list"],
  [RequestCode.STATUS, "list"],
  [RequestCode.OPEN, "put"],
  [RequestCode.HAS, "put"],
  [RequestCode.PUT, "put"],
  [RequestCode.FLUSH, "put"],
  [RequestCode.COMMIT, "put"],
  [RequestCode.CLOSE, "put"],
  [RequestCode.GET, "read"],
  [RequestCode.READ, "read"],
]);

const REQUEST_NAMES = namesOf(RequestCode);
const ERROR_NAMES = namesOf(ErrorCode);

/** What codes are called where they are counted. */
function namesOf(codes: Record<string, number>): ReadonlyMap<number, string> {
  return new Map(Object.entries(codes).map(([name, code]) => [code, name.toLowerCase()]));
}

export class VaultSession {
  readonly #channel: Channel;
  readonly #peer: Peer;
  readonly #context: VaultContext;
  readonly #answers: AnswerQueue;
  #state: State = { name: "stranger" };
  #strangerRequests = 0;
  /** Of the request that is read or handled. */
  #requestId = 0;
  #isHandling = false;
  readonly #startedMs: number;

  constructor(channel: Channel, peer: Peer, context: VaultContext) {
    this.#channel = channel;
    this.#peer = peer;
    this.#context = context;
    this.#answers = new AnswerQueue(channel);
    this.#startedMs = context.clock.elapsed();
  }

  /** Whether something that was asked is not answered yet, or its answer not written. */
  isBusy(): boolean {
    return this.#isHandling || this.#answers.isPending || this.#hasPuts;
  }

  get #hasPuts(): boolean {
    return this.#state.name === "member" && this.#state.member.puts.isPending;
  }

  /** Serves requests until the peer closes. @throws {UnreachableError} if the connection breaks */
  async run(): Promise<void> {
    try {
      while (await this.#serveNext()) {
        if (this.#context.isStopping() && !this.#hasPuts) break;
      }
      await this.#answers.flush();
    } finally {
      this.#answers.release();
      this.#leaveVault();
    }
  }

  /** Reads one request and answers it. False when the connection ends. */
  async #serveNext(): Promise<boolean> {
    if (this.#state.name === "member") await this.#state.member.puts.waitForRoom();
    this.#expectRequest();
    if (!this.#channel.hasBuffered) this.#answers.release();
    if (!(await this.#channel.waitForData(Infinity))) return false;
    let request: Request | undefined;
    try {
      request = await this.#readRequest();
      if (request === undefined) return false;
      this.#isHandling = true;
      this.#answers.gather();
      this.#context.activity.begin();
      this.#channel.expect({ ...PATIENT, writeMs: this.#context.limits.stallMs });
      await this.#handle(request);
      return true;
    } catch (error) {
      request?.share.release();
      return await this.#fail(this.#requestId, error);
    } finally {
      if (this.#isHandling) this.#context.activity.end();
      this.#isHandling = false;
      if (request?.code !== RequestCode.PUT) request?.share.release();
    }
  }

  #expectRequest(): void {
    const { idleMs, loginMs, stallMs } = this.#context.limits;
    const isMember = this.#state.name === "member";
    const left = loginMs - (this.#context.clock.elapsed() - this.#startedMs);
    const totalMs = isMember ? idleMs : Math.max(left, 0);
    this.#channel.expect({ totalMs, silenceMs: Infinity, writeMs: stallMs });
  }

  /** The next request; undefined at the end of the connection. @throws {RequestError} `PROTOCOL` */
  async #readRequest(): Promise<Request | undefined> {
    const { messageMs, stallMs } = this.#context.limits;
    this.#channel.expect({ totalMs: messageMs, silenceMs: stallMs, writeMs: stallMs });
    const bytes = await this.#channel.read(v4.FRAME_HEADER_BYTES);
    if (bytes === null) return undefined;
    this.#requestId = 0; // for an answer to a header that is malformed
    const { code, requestId, payloadBytes, flags } = decodeRequest(bytes, v4.decodeFrameHeader);
    this.#requestId = requestId;
    const isMember = this.#state.name === "member";
    if (flags !== 0) throw malformed("it has flags");
    if (!isMember && payloadBytes > WIRE.strangerPayloadBytesMax) {
      throw malformed("it is too large");
    }
    if (!isMember && ++this.#strangerRequests > WIRE.strangerRequestsMax) {
      throw malformed("too many before login");
    }
    this.#channel.expect({ ...PATIENT, writeMs: stallMs });
    const share = await takeRoom(payloadBytes, this.#budgetsFor(payloadBytes));
    try {
      const totalMs = messageMs + payloadBytes / CLASSIC.slowestBytesPerSecond * 1000;
      this.#channel.expect({ totalMs, silenceMs: stallMs, writeMs: stallMs });
      const payload = await this.#channel.readExactly(payloadBytes);
      return { code, requestId, payload, share };
    } catch (error) {
      share.release();
      throw error;
    }
  }

  #budgetsFor(payloadBytes: number): Budget[] {
    if (payloadBytes <= STORE.uncountedBytesMax) return [];
    const { budget } = this.#context;
    return this.#state.name === "member" ? [this.#state.member.vault.budget, budget] : [budget];
  }

  /** The one place where state and permissions are checked. */
  async #handle(request: Request): Promise<void> {
    const rule = RULES.get(request.code);
    const known = REQUEST_NAMES.get(request.code) ?? "unknown";
    this.#context.metrics?.add("holdfast_requests_total", known);
    const { name } = this.#state;
    if (rule === undefined) throw malformed(`unknown code ${request.code}`);
    if (rule === "any") return await this.#answer(request, AnswerCode.DONE);
    if (rule === "stranger" || rule === "challenged") {
      if (rule !== name) throw malformed(`not to be sent by a ${name}`);
      return await this.#handleStranger(request);
    }
    if (this.#state.name !== "member") throw malformed(`not to be sent by a ${name}`);
    const { member } = this.#state;
    this.#require(member, rule);
    await this.#handleMember(request, member);
  }

  #require(member: Member, permission: keyof Permissions): void {
    if (!member.permissions[permission]) {
      throw new RequestError(
        ErrorCode.FORBIDDEN,
        `Cannot serve request: the device has no permission to ${permission}`,
      );
    }
  }

  async #handleStranger(request: Request): Promise<void> {
    const { payload } = request;
    switch (request.code) {
      case RequestCode.HELLO: {
        const hello = decodeRequest(payload, login.decodeHello);
        const pending = await beginLogin(hello, this.#context);
        this.#state = { name: "challenged", pending };
        return await this.#answer(request, AnswerCode.CHALLENGE, pending.question);
      }
      case RequestCode.PROVE:
        return await this.#welcome(request);
      case RequestCode.FOUND: {
        const enrolment = decodeRequest(payload, login.decodeEnrolment);
        const appended = await foundVault(enrolment, this.#context);
        this.#note("vault founded");
        return await this.#answer(request, AnswerCode.APPENDED, v4.encodeAppended(appended));
      }
      case RequestCode.FETCH_INVITE: {
        const bundle = await fetchBundle(decodeRequest(payload, login.decodeToken), this.#context);
        return await this.#answer(request, AnswerCode.BUNDLE, bundle);
      }
      case RequestCode.JOIN: {
        const enrolment = decodeRequest(payload, login.decodeEnrolment);
        const appended = await joinVault(enrolment, this.#context);
        this.#note("device joined");
        return await this.#answer(request, AnswerCode.APPENDED, v4.encodeAppended(appended));
      }
    }
  }

  async #welcome(request: Request): Promise<void> {
    const { pending } = this.#state as State & { name: "challenged" };
    const { store, records, sessions, limits, clock } = this.#context;
    const { vault } = pending;
    try {
      checkProof(pending, request.payload);
    } catch (error) {
      this.#leaveVault();
      throw error;
    }
    const puts = this.#openPuts(vault, pending.id);
    const member = new Member({ login: pending, vault, store, records, sessions, puts });
    const connected = {
      vaultNumber: vault.number,
      login: pending,
      expel: () => this.#channel.abort("the device is revoked"),
    };
    this.#state = { name: "member", member, connected };
    this.#context.members.add(connected);
    const { newest } = vault.journal.state;
    const role = findRole(vault.journal.state, pending);
    if (role === undefined) throw new RequestError(ErrorCode.FORBIDDEN, "Cannot log in: revoked");
    await member.noteSeen(clock.wall());
    this.#note("logged in", { vault: vault.id.toHex(), device: pending.id.toHex(), role });
    const welcome = login.encodeWelcome({
      vaultId: vault.id,
      role,
      headNumber: newest.number,
      headHash: newest.hash,
      timeMs: clock.wall(),
      limits: { windowBytes: WIRE.windowBytes, idleMs: limits.idleMs },
    });
    await this.#answer(request, AnswerCode.WELCOME, welcome);
  }

  async #handleMember(request: Request, member: Member): Promise<void> {
    const { payload } = request;
    const { vault, puts } = member;
    switch (request.code) {
      case RequestCode.EVENTS: {
        const page = await vault.journal.readPage(decodeRequest(payload, v4.decodeEventsAfter));
        return await this.#answer(request, AnswerCode.EVENTS, v4.encodeEventsPage(page));
      }
      case RequestCode.APPEND: {
        const permission = permissionFor(await member.readStatement(payload));
        if (permission === undefined) {
          throw new RequestError(ErrorCode.BAD_EVENT, "Cannot append: not a statement for APPEND");
        }
        this.#require(member, permission);
        const appended = await member.append(payload);
        this.#expelRevoked(member);
        return await this.#answer(request, AnswerCode.APPENDED, v4.encodeAppended(appended));
      }
      case RequestCode.INVITE: {
        const upload = decodeRequest(payload, v4.decodeInviteUpload);
        await keepInvite(upload, { ...this.#context, vaultId: vault.id });
        return await this.#answer(request, AnswerCode.DONE);
      }
      case RequestCode.SEEN: {
        const seen = await this.#context.store.db.listSeen(vault.number);
        return await this.#answer(request, AnswerCode.SEEN, v4.encodeSeen(seen));
      }
      case RequestCode.STATUS:
        return await this.#answer(request, AnswerCode.USAGE, encodeUsage(await vault.usage()));
      case RequestCode.OPEN: {
        const grant = await member.open(decodeRequest(payload, v4.decodeSessionId));
        return await this.#answer(request, AnswerCode.SESSION, v4.encodeSessionGrant(grant));
      }
      case RequestCode.HAS: {
        member.touchSession();
        const bits = await vault.completeness.check(decodeRequest(payload, v4.decodeIds));
        return await this.#answer(request, AnswerCode.BITMAP, v4.encodeBitmap(bits));
      }
      case RequestCode.PUT: {
        const { requestId, share } = request;
        member.requireSession();
        return await puts.put(requestId, decodeRequest(payload, v4.decodePut), share);
      }
      case RequestCode.FLUSH:
        await puts.flush();
        return await this.#answer(request, AnswerCode.DONE);
      case RequestCode.COMMIT:
        return await this.#commit(request, member);
      case RequestCode.CLOSE:
        await member.close(decodeRequest(payload, v4.decodeSessionId));
        return await this.#answer(request, AnswerCode.DONE);
      case RequestCode.GET:
        return await this.#sendRecords(request, vault, { checks: true });
      case RequestCode.READ:
        return await this.#sendRecords(request, vault, { checks: false });
    }
  }

  #expelRevoked({ vault }: Member): void {
    if (this.#state.name !== "member") return;
    this.#context.members.expelRevoked(vault.journal.state, this.#state.connected);
  }

  async #commit(request: Request, member: Member): Promise<void> {
    const result = await member.commit(request.payload);
    if ("ids" in result) {
      return await this.#answer(request, AnswerCode.MISSING, v4.encodeMissing(result));
    }
    this.#note("snapshot committed", { vault: member.vault.id.toHex(), number: result.number });
    await this.#answer(request, AnswerCode.APPENDED, v4.encodeAppended(result));
  }

  /** GET and READ: one answer for each id, in storage order. The next one waits until the peer takes this one. */
  async #sendRecords(
    { requestId, payload }: Request,
    vault: Vault,
    options: { checks: boolean },
  ): Promise<void> {
    const ids = decodeRequest(payload, v4.decodeIds);
    const share = await takeRoom(READ_BUFFER_BYTES, this.#budgetsFor(READ_BUFFER_BYTES));
    let left = ids.length;
    try {
      for await (const read of vault.reader.readAll(ids, options)) {
        const flags = --left > 0 ? v4.FLAG_MORE : 0;
        const { head, record } = encodeRecordFrame(read, { requestId, flags });
        // Small ones are copied, and leave with their neighbours; the buffer of a large one must not be read over.
        if (record.length <= COPIED_RECORD_BYTES_MAX) {
          await this.#answers.send(concatBytes(head, record));
        } else await this.#answers.write(head, record);
      }
    } finally {
      share.release();
    }
  }

  #openPuts(vault: Vault, device: Uint8Array): Puts {
    return new Puts({
      vault,
      device,
      records: this.#context.records,
      acknowledge: (requestIds) => {
        const payload = v4.encodeStored(requestIds);
        const requestId = requestIds[requestIds.length - 1];
        this.#answers.push(v4.encodeFrame(AnswerCode.STORED, { requestId, payload }));
      },
      fail: (requestId, error) => {
        this.#logFailure(error);
        this.#answers.push(encodeErrorFrame(requestId, error));
      },
    });
  }

  async #answer(
    { requestId }: Request,
    code: AnswerCode,
    payload: Uint8Array = new Uint8Array(0),
  ): Promise<void> {
    await this.#answers.send(v4.encodeFrame(code, { requestId, payload }));
  }

  /** Answers a request with an error. False if the connection must end. */
  async #fail(requestId: number, error: unknown): Promise<boolean> {
    if (error instanceof UnreachableError) throw error;
    this.#logFailure(error);
    await this.#answers.send(encodeErrorFrame(requestId, error));
    if (!(error instanceof RequestError) || error.code !== ErrorCode.PROTOCOL) return true;
    await this.#answers.flush();
    await this.#channel.finish({ maxBytes: LINGER.bytesMax, maxMs: LINGER.ms });
    return false;
  }

  #logFailure(error: unknown): void {
    this.#context.store.noticeFull(error);
    const reason = ERROR_NAMES.get(errorAnswer(error).code) ?? "internal";
    this.#context.metrics?.add("holdfast_requests_refused_total", reason);
    const { address } = this.#peer;
    if (error instanceof RequestError) {
      this.#context.log.warn("request refused", { address, reason: describeError(error) });
    } else this.#context.log.error("request failed", error, { address });
  }

  #leaveVault(): void {
    const state = this.#state;
    this.#state = { name: "stranger" };
    if (state.name === "challenged") this.#context.store.leave(state.pending.vault);
    if (state.name === "member") {
      this.#context.members.remove(state.connected);
      state.member.leaveSession();
      this.#context.store.leave(state.member.vault);
    }
  }

  #note(event: string, fields: LogFields = {}): void {
    this.#context.log.info(event, { address: this.#peer.address, ...fields });
  }
}

/** A call for each would take longer than the copy. */
const COPIED_RECORD_BYTES_MAX = 64 * 1024;
/** Two reads, each of one record or of neighbours. */
const READ_BUFFER_BYTES = 2 * Math.max(STORE.joinedReadBytes, VAULT.recordBytesMax);
const PATIENT = { totalMs: Infinity, silenceMs: Infinity };

const RECORD_STATES = {
  found: v4.RecordState.FOUND,
  missing: v4.RecordState.MISSING,
  damaged: v4.RecordState.DAMAGED,
} as const;

/** A RECORD frame in two parts, so that the record need not be copied. */
function encodeRecordFrame(
  read: ReadRecord,
  { requestId, flags }: { requestId: number; flags: number },
): { head: Uint8Array; record: Uint8Array } {
  const record = read.state === "found" ? read.bytes : new Uint8Array(0);
  const prefix = v4.encodeRecordAnswerPrefix({
    index: read.index,
    state: RECORD_STATES[read.state],
  });
  const payloadBytes = prefix.length + record.length;
  const header = v4.encodeFrameHeader({ flags, code: AnswerCode.RECORD, requestId, payloadBytes });
  const head = new ByteWriter(header.length + prefix.length).bytes(header).bytes(prefix).done();
  return { head, record };
}

function encodeErrorFrame(requestId: number, error: unknown): Uint8Array {
  const payload = v4.encodeError(errorAnswer(error));
  return v4.encodeFrame(AnswerCode.ERROR, { requestId, payload });
}

function malformed(state: string): RequestError {
  return new RequestError(ErrorCode.PROTOCOL, `Cannot understand request: ${state}`);
}
