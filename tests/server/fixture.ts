/** A server of version 4 on loopback, devices with real keys, and a client that says whatever a test wants. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { FolderBlobs } from "../../lib/blobs.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { Channel } from "../../lib/channel.ts";
import { Database } from "../../lib/db.ts";
import { RecordDatabase } from "../../lib/db_records.ts";
import { VaultDatabase } from "../../lib/db_vault.ts";
import type { HostPort } from "../../lib/flags.ts";
import { recoveryId } from "../../lib/identity.ts";
import {
  EventKind,
  JOURNAL_START,
  type Signer,
  signStatement,
  vaultIdOf,
} from "../../lib/journal.ts";
import { encodeCommit, encodeDevice, encodeFoundFields } from "../../lib/journal_body.ts";
import { proveCode } from "../../lib/journal_code.ts";
import { SERVER_DEFAULTS } from "../../lib/limits.ts";
import { Log } from "../../lib/log.ts";
import { decryptLoginSecret, proveLogin } from "../../lib/login.ts";
import * as v4 from "../../lib/protocol_v4.ts";
import { AnswerCode, ErrorCode, RequestCode } from "../../lib/protocol_v4.ts";
import * as login from "../../lib/protocol_v4_login.ts";
import { encodeRecordHeader, recordId, type RecordType } from "../../lib/record.ts";
import { tokenHash } from "../../lib/server/enrolment.ts";
import type { Service } from "../../lib/server/listener.ts";
import { startVaultService } from "../../lib/server/vault_service.ts";
import { type Clock, SYSTEM_CLOCK } from "../../lib/time.ts";
import { connectPinned, fetchCertificate, type ServerCertificate } from "../../lib/tls.ts";
import { type DevicePrivateKey, importDeviceKey } from "../../lib/vault/private_key.ts";
import { deriveRecoveryKey, type RecoveryPrivateKey } from "../../lib/vault/recovery.ts";
import { withFolder } from "../folder.ts";
import keys from "../vectors/keys.json" with { type: "json" };

export const random = (size: number) => new Uint8Array(randomBytes(size));

/** Two devices; drawing RSA keys anew would take seconds. */
export const deviceA = await importDeviceKey(Uint8Array.fromHex(keys.device));
export const deviceB = await importDeviceKey(Uint8Array.fromHex(keys.writer));

export interface TestRecord {
  id: Uint8Array;
  bytes: Uint8Array<ArrayBuffer>;
}

/** A record with these links and a random body. */
export function makeRecord(type: RecordType, links: TestRecord[] = [], size = 100): TestRecord {
  const header = encodeRecordHeader({ type, links: links.map(({ id }) => id) });
  const bytes = concatBytes(header, random(size));
  return { id: recordId(bytes), bytes };
}

/** Runs a test with a clock that can be moved. */
export class TestClock implements Clock {
  shiftMs = 0;
  wall = () => SYSTEM_CLOCK.wall() + this.shiftMs;
  elapsed = () => SYSTEM_CLOCK.elapsed() + this.shiftMs;
}

/** A server in this process. */
export class TestServer {
  readonly dataPath: string;
  readonly clock = new TestClock();
  db!: Database;
  logged = "";
  address!: HostPort;
  #service: Service | undefined;
  readonly #clients: TestClient[] = [];

  private constructor(dataPath: string) {
    this.dataPath = dataPath;
  }

  static async start(dataPath: string): Promise<TestServer> {
    const server = new TestServer(dataPath);
    await server.start();
    return server;
  }

  /** The database, while the server is stopped. */
  reopen(): Database {
    return Database.open(join(this.dataPath, "holdfast.db"));
  }

  async start(): Promise<void> {
    this.db = this.reopen();
    const sink = {
      write: (bytes: Uint8Array) => {
        this.logged += new TextDecoder().decode(bytes);
        return Promise.resolve(bytes.length);
      },
    };
    const log = new Log({ format: "text", sink, now: SYSTEM_CLOCK.wall });
    const { idleMs, messageMs, stallMs, connectionsMax, connectionsPerAddressMax } =
      SERVER_DEFAULTS;
    const access = { connectionsMax, connectionsPerAddressMax, ...NO_CLASSIC_LIMITS };
    this.#service = await startVaultService({
      address: { hostname: "127.0.0.1", port: 0 },
      access,
      session: { idleMs, messageMs, stallMs },
      stopMs: 3000,
    }, { dataPath: this.dataPath, db: this.db, log, clock: this.clock });
    this.address = this.#service.address;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.#service?.stop();
    this.#service = undefined;
    this.db.close();
  }

  async restart(between: () => void | Promise<void> = () => {}): Promise<void> {
    await this.stop();
    await between();
    await this.start();
  }

  get vaults(): VaultDatabase {
    return new VaultDatabase(this.db.sql);
  }

  get records(): RecordDatabase {
    return new RecordDatabase(this.db.sql);
  }

  /** Tokens of the operator. */
  async invite(): Promise<Uint8Array> {
    const token = random(32);
    const expiresMs = this.clock.wall() + 60_000;
    await this.vaults.addInvite({ token: tokenHash(token), expiresMs });
    return token;
  }

  async connect(): Promise<TestClient> {
    const certificate = await fetchCertificate(this.address, { connectMs: 5000 });
    const client = await TestClient.connect(this.address, certificate);
    this.#clients.push(client);
    return client;
  }

  /** A new vault with its owner logged in. */
  async found(device: DevicePrivateKey = deviceA): Promise<TestMember> {
    const client = await this.connect();
    const vault = await foundBody(device);
    const statement = await vault.sign(device, EventKind.FOUND, vault.body, JOURNAL_START);
    const token = await this.invite();
    const payload = login.encodeEnrolment({ token, statement });
    const answer = await client.request(RequestCode.FOUND, payload);
    assert.equal(answer.code, AnswerCode.APPENDED, describeAnswer(answer));
    await client.login(device, vault.id);
    return new TestMember(client, device, vault, v4.decodeAppended(answer.payload));
  }

  blobs(): Promise<FolderBlobs> {
    return FolderBlobs.open(join(this.dataPath, "packs"));
  }
}

const NO_CLASSIC_LIMITS = {
  registration: false,
  registrationsPerMinuteMax: 0,
  clientsMax: 0,
  clientBytesMax: 0,
  totalBytesMax: 0,
};

/** A vault as its owner knows it. */
export interface TestVault {
  id: Uint8Array;
  body: Uint8Array;
  recovery: RecoveryPrivateKey;
  sign: (
    signer: { id: Uint8Array; sign: Signer },
    kind: EventKind,
    body: Uint8Array,
    seen: v4.Appended,
  ) => Promise<Uint8Array>;
}

export async function foundBody(device: DevicePrivateKey): Promise<TestVault> {
  const recovery = await deriveRecoveryKey(random(32));
  const fields = encodeFoundFields({
    owner: device.publicKey,
    recovery: recovery.publicKeys,
    readKey: { rsa: random(422), kem: random(1184) },
    secretCheck: random(16),
    sealedName: random(40),
  });
  assert.deepEqual(recovery.id, recoveryId(recovery.publicKeys));
  const statement = { kind: EventKind.FOUND, signer: device.id, seen: JOURNAL_START, body: fields };
  const body = await proveCode(statement, { sign: recovery.sign });
  const id = vaultIdOf(body);
  const sign: TestVault["sign"] = ({ id: signer, sign }, kind, body, seen) =>
    signStatement({ kind, signer, seen, body }, { vaultId: id, sign });
  return { id, body, recovery, sign };
}

export interface Answer {
  code: number;
  flags: number;
  payload: Uint8Array;
}

/** Says frames, and sorts the answers by their request. */
export class TestClient {
  readonly channel: Channel;
  readonly certificate: ServerCertificate;
  readonly conn: Deno.TlsConn;
  #nextId = 1;
  readonly #answers = new Map<number, Answer[]>();
  readonly #waiting = new Map<number, () => void>();
  #reading: Promise<void> | undefined;
  #hasEnded = false;
  #gate = Promise.withResolvers<void>();

  private constructor(conn: Deno.TlsConn, certificate: ServerCertificate) {
    this.conn = conn;
    this.channel = new Channel(conn);
    this.certificate = certificate;
    this.#gate.resolve();
  }

  /** Reads no more until the function is called that this returns. */
  pause(): () => void {
    this.#gate = Promise.withResolvers();
    return this.#gate.resolve;
  }

  static async connect(address: HostPort, certificate: ServerCertificate): Promise<TestClient> {
    const conn = await connectPinned(address, { certificate, connectMs: 5000 });
    const client = new TestClient(conn, certificate);
    return client;
  }

  close(): void {
    this.channel.close();
  }

  async send(code: number, payload: Uint8Array = new Uint8Array(0)): Promise<number> {
    const requestId = this.#nextId++;
    await this.channel.write(v4.encodeFrame(code, { requestId, payload }));
    return requestId;
  }

  async request(code: number, payload?: Uint8Array): Promise<Answer> {
    return await this.answerTo(await this.send(code, payload));
  }

  /** The next answer to a request. A STORED answer is one for each PUT in it. */
  async answerTo(requestId: number): Promise<Answer> {
    this.#reading ??= this.#read();
    for (;;) {
      const answer = this.#answers.get(requestId)?.shift();
      if (answer) return answer;
      if (this.#hasEnded) throw new Error("connection ended without an answer");
      await new Promise<void>((wake) => this.#waiting.set(requestId, wake));
    }
  }

  /** Says HELLO and PROVE. */
  async login(device: DevicePrivateKey, vaultId: Uint8Array): Promise<login.Welcome> {
    const challenge = await this.hello(device, vaultId);
    const secret = await decryptLoginSecret(device.rsa, challenge.cipher);
    const { pin } = this.certificate;
    const proof = proveLogin(secret, { pin, signer: device.id, nonce: challenge.nonce });
    const answer = await this.request(RequestCode.PROVE, proof);
    assert.equal(answer.code, AnswerCode.WELCOME, describeAnswer(answer));
    return login.decodeWelcome(answer.payload);
  }

  async hello(device: DevicePrivateKey, vaultId: Uint8Array): Promise<login.Challenge> {
    const { DEVICE } = login.LoginKind;
    const hello = login.encodeHello({ kind: DEVICE, id: device.id, vaultId });
    const answer = await this.request(RequestCode.HELLO, hello);
    assert.equal(answer.code, AnswerCode.CHALLENGE, describeAnswer(answer));
    return login.decodeChallenge(answer.payload);
  }

  /** Whether the server has closed the connection. */
  async isClosed(): Promise<boolean> {
    this.#reading ??= this.#read();
    await this.#reading;
    return this.#hasEnded;
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const header = await this.channel.read(v4.FRAME_HEADER_BYTES);
        if (header === null) break;
        await this.#gate.promise;
        const { code, flags, requestId, payloadBytes } = v4.decodeFrameHeader(header);
        const payload = await this.channel.readExactly(payloadBytes);
        const requestIds = code === AnswerCode.STORED ? v4.decodeStored(payload) : [requestId];
        for (const requestId of requestIds) this.#deliver(requestId, { code, flags, payload });
      }
    } catch {
      // The connection is gone.
    }
    this.#hasEnded = true;
    for (const wake of this.#waiting.values()) wake();
  }

  #deliver(requestId: number, answer: Answer): void {
    const answers = this.#answers.get(requestId) ?? [];
    answers.push(answer);
    this.#answers.set(requestId, answers);
    this.#waiting.get(requestId)?.();
  }
}

/** A device that is logged in to a vault. */
export class TestMember {
  readonly client: TestClient;
  readonly device: DevicePrivateKey;
  readonly vault: TestVault;
  /** The newest event that it has seen. */
  seen: v4.Appended;
  sessionId = random(16);

  constructor(
    client: TestClient,
    device: DevicePrivateKey,
    vault: TestVault,
    seen: v4.Appended,
  ) {
    this.client = client;
    this.device = device;
    this.vault = vault;
    this.seen = seen;
  }

  /** The same device on another connection. */
  async again(server: TestServer): Promise<TestMember> {
    const client = await server.connect();
    await client.login(this.device, this.vault.id);
    const member = new TestMember(client, this.device, this.vault, this.seen);
    member.sessionId = this.sessionId;
    return member;
  }

  async open(): Promise<v4.SessionGrant> {
    const payload = v4.encodeSessionId(this.sessionId);
    return v4.decodeSessionGrant((await this.ask(RequestCode.OPEN, payload)).payload);
  }

  async has(...records: TestRecord[]): Promise<boolean[]> {
    const payload = v4.encodeIds(records.map(({ id }) => id));
    const answer = await this.ask(RequestCode.HAS, payload);
    return v4.decodeBitmap(answer.payload, records.length);
  }

  /** Sends records, and waits until all are stored. */
  async put(...records: TestRecord[]): Promise<void> {
    const requestIds: number[] = [];
    for (const record of records) requestIds.push(await this.sendPut(record));
    await this.ask(RequestCode.FLUSH);
    for (const requestId of requestIds) {
      const answer = await this.client.answerTo(requestId);
      assert.equal(answer.code, AnswerCode.STORED, describeAnswer(answer));
    }
  }

  sendPut({ id, bytes }: TestRecord): Promise<number> {
    return this.client.send(RequestCode.PUT, v4.encodePut({ id, record: bytes }));
  }

  statement(kind: EventKind, body: Uint8Array): Promise<Uint8Array> {
    return this.vault.sign(this.device, kind, body, this.seen);
  }

  commitStatement(root: TestRecord): Promise<Uint8Array> {
    const body = encodeCommit({ root: root.id, setLabel: new Uint8Array(16), tagLabels: [] });
    return this.statement(EventKind.COMMIT, body);
  }

  /** Commits, and gives what is missing. */
  async commit(root: TestRecord): Promise<v4.MissingRecords | "committed"> {
    const answer = await this.client.request(RequestCode.COMMIT, await this.commitStatement(root));
    if (answer.code === AnswerCode.MISSING) return v4.decodeMissing(answer.payload);
    assert.equal(answer.code, AnswerCode.APPENDED, describeAnswer(answer));
    this.seen = v4.decodeAppended(answer.payload);
    return "committed";
  }

  async append(kind: EventKind, body: Uint8Array): Promise<v4.Appended> {
    const answer = await this.ask(RequestCode.APPEND, await this.statement(kind, body));
    this.seen = v4.decodeAppended(answer.payload);
    return this.seen;
  }

  addDevice(device: DevicePrivateKey, role: 1 | 2 | 3): Promise<v4.Appended> {
    const body = encodeDevice({ role, keys: device.publicKey, sealedName: random(20) });
    return this.append(EventKind.DEVICE, body);
  }

  /** Gets records, as states and contents in the order of asking. */
  get(...records: { id: Uint8Array }[]): Promise<(Uint8Array | "missing" | "damaged")[]> {
    return this.#records(RequestCode.GET, records);
  }

  /** The same, without the server's look at them. */
  read(...records: { id: Uint8Array }[]): Promise<(Uint8Array | "missing" | "damaged")[]> {
    return this.#records(RequestCode.READ, records);
  }

  async #records(
    code: number,
    records: { id: Uint8Array }[],
  ): Promise<(Uint8Array | "missing" | "damaged")[]> {
    const payload = v4.encodeIds(records.map(({ id }) => id));
    const requestId = await this.client.send(code, payload);
    const results: (Uint8Array | "missing" | "damaged")[] = [];
    for (let i = 0; i < records.length; i++) {
      const answer = await this.client.answerTo(requestId);
      assert.equal(answer.code, AnswerCode.RECORD, describeAnswer(answer));
      assert.equal(answer.flags, i < records.length - 1 ? v4.FLAG_MORE : 0);
      const { index, state, record } = v4.decodeRecordAnswer(answer.payload);
      const { FOUND, MISSING } = v4.RecordState;
      results[index] = state === FOUND ? record : state === MISSING ? "missing" : "damaged";
    }
    return results;
  }

  /** A request that must be answered well. */
  async ask(code: number, payload?: Uint8Array): Promise<Answer> {
    const answer = await this.client.request(code, payload);
    assert.notEqual(answer.code, AnswerCode.ERROR, describeAnswer(answer));
    return answer;
  }

  /** A request that must be refused. */
  async refused(code: number, payload?: Uint8Array): Promise<keyof typeof ErrorCode> {
    return refusalOf(await this.client.request(code, payload));
  }
}

/** The name of the error that an answer is. */
export function refusalOf(answer: Answer): keyof typeof ErrorCode {
  assert.equal(answer.code, AnswerCode.ERROR, "it was not refused");
  const { code } = v4.decodeError(answer.payload);
  return Object.entries(ErrorCode).find(([, value]) =>
    value === code
  )![0] as keyof typeof ErrorCode;
}

export function describeAnswer({ code, payload }: Answer): string {
  return code === AnswerCode.ERROR ? v4.decodeError(payload).text : `answer ${code}`;
}

/** Runs a test with a server. */
export async function withServer(test: (server: TestServer) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const server = await TestServer.start(folder);
    try {
      await test(server);
    } finally {
      await server.stop();
    }
  });
}
