/** A vault's journal to test with: real signatures, and random bytes where keys are only carried. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  encodeCommit,
  encodeDevice,
  encodeFoundFields,
  encodeRecoveryFields,
  type InviteGrant,
  type RetentionPolicy,
} from "../lib/journal_body.ts";
import {
  encodeEvent,
  EventKind,
  inviteMessage,
  JOURNAL_START,
  type JournalPoint,
  signStatement,
  vaultIdOf,
} from "../lib/journal.ts";
import { encodeStatement } from "../lib/journal.ts";
import { proveCode } from "../lib/journal_code.ts";
import { JournalState } from "../lib/journal_state.ts";
import {
  deviceId,
  type DeviceKeys,
  inviteId,
  recoveryId,
  type RecoveryKeys,
  Role,
} from "../lib/identity.ts";

export const DAY_MS = 24 * 3600 * 1000;
export const START_MS = Date.UTC(2026, 0, 1);

export interface TestSigner {
  id: Uint8Array;
  ed25519: Uint8Array;
  sign: (message: Uint8Array) => Uint8Array;
}

export interface TestDevice extends TestSigner {
  keys: DeviceKeys;
}

export interface TestCode extends TestSigner {
  keys: RecoveryKeys;
}

export function random(size: number): Uint8Array {
  return new Uint8Array(randomBytes(size));
}

export function makeDevice(): TestDevice {
  const { ed25519, privateKey } = makeEd25519();
  const keys = { rsa: random(422), kem: random(1184), ed25519 };
  return { id: deviceId(keys), ed25519, keys, sign: signerOf(privateKey) };
}

export function makeCode(): TestCode {
  const { ed25519, privateKey } = makeEd25519();
  const keys = { x25519: random(32), kem: random(1184), ed25519 };
  return { id: recoveryId(keys), ed25519, keys, sign: signerOf(privateKey) };
}

/** Body of a found event: as the code agrees to it, or what somebody says who has its public keys only. */
export function foundBody(
  owner: TestDevice,
  code: TestCode,
  sign: TestSigner["sign"] = code.sign,
): Promise<Uint8Array> {
  const body = encodeFoundFields({
    ...{ owner: owner.keys, recovery: code.keys },
    readKey: { rsa: random(422), kem: random(1184) },
    ...{ secretCheck: random(16), sealedName: random(40) },
  });
  const statement = { kind: EventKind.FOUND, signer: owner.id, seen: JOURNAL_START, body };
  return proveCode(statement, { sign });
}

/** A vault with an owner, a writer and a recovery code; a clock that each event moves by a second. */
export class TestVault {
  readonly state = new JournalState();
  readonly events: Uint8Array[] = [];
  readonly owner = makeDevice();
  readonly writer = makeDevice();
  readonly recovery = makeCode();
  vaultId!: Uint8Array;
  nowMs = START_MS;

  static async create(): Promise<TestVault> {
    const vault = new TestVault();
    const body = await foundBody(vault.owner, vault.recovery);
    vault.vaultId = vaultIdOf(body);
    await vault.add(vault.owner, EventKind.FOUND, body, JOURNAL_START);
    await vault.addDevice(vault.writer, Role.WRITER);
    return vault;
  }

  /** The statement that a signer would make now. */
  statement(
    signer: TestSigner,
    kind: EventKind,
    body: Uint8Array,
    seen: JournalPoint = this.state.newest,
  ): Promise<Uint8Array> {
    const { vaultId } = this;
    return signStatement({ kind, signer: signer.id, seen, body }, { vaultId, sign: signer.sign });
  }

  /** A statement placed as the next event. */
  place(statement: Uint8Array): Uint8Array {
    const { number, hash } = this.state.newest;
    return encodeEvent({ number: number + 1, previous: hash, timeMs: this.nowMs }, statement);
  }

  async add(
    signer: TestSigner,
    kind: EventKind,
    body: Uint8Array,
    seen: JournalPoint = this.state.newest,
  ): Promise<Uint8Array> {
    return this.apply(await this.statement(signer, kind, body, seen));
  }

  apply(statement: Uint8Array): Uint8Array {
    const event = this.place(statement);
    this.state.apply(event);
    this.events.push(event);
    this.nowMs += 1000;
    return event;
  }

  addDevice(device: TestDevice, role: Role, signer: TestSigner = this.owner): Promise<Uint8Array> {
    const body = encodeDevice({ role, keys: device.keys, sealedName: random(30) });
    return this.add(signer, EventKind.DEVICE, body);
  }

  /** Body of a recovery event by this owner, now. */
  codeBody(owner: TestDevice, code: TestCode, vaultId = this.vaultId): Promise<Uint8Array> {
    const body = encodeRecoveryFields(code);
    const statement = {
      ...{ kind: EventKind.RECOVERY, signer: owner.id, seen: this.state.newest, body },
    };
    return proveCode(statement, { vaultId, sign: code.sign });
  }

  /** Commits a random root and gives its id. */
  async commit(
    device: TestDevice = this.writer,
    setLabel: Uint8Array = new Uint8Array(16),
  ): Promise<Uint8Array> {
    const root = random(32);
    await this.add(device, EventKind.COMMIT, encodeCommit({ root, setLabel, tagLabels: [] }));
    return root;
  }

  /** A drop as the server makes it. */
  dropStatement(body: Uint8Array): Uint8Array {
    return this.serverStatement(body, EventKind.DROP);
  }

  /** What the server says without a signature. */
  serverStatement(body: Uint8Array, kind: EventKind = EventKind.RESTORE): Uint8Array {
    const signer = new Uint8Array(16);
    const signature = new Uint8Array(64);
    return encodeStatement({ kind, signer, seen: JOURNAL_START, body, signature });
  }

  /** An invite by an owner, and who signs with it. */
  invite(role: Role, expiresMs: number): { grant: InviteGrant; signer: TestSigner } {
    const { ed25519: publicKey, privateKey } = makeEd25519();
    const fields = { owner: this.owner.id, expiresMs, publicKey };
    const signature = this.owner.sign(inviteMessage({ ...fields, role }, this.vaultId));
    const signer = { id: inviteId(publicKey), ed25519: publicKey, sign: signerOf(privateKey) };
    return { grant: { ...fields, signature }, signer };
  }
}

export function policyOf(rules: Partial<RetentionPolicy>): RetentionPolicy {
  const none = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
  return { holdMs: 30 * DAY_MS, ...none, ...rules };
}

function makeEd25519(): { ed25519: Uint8Array; privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const x = publicKey.export({ format: "jwk" }).x!;
  return { ed25519: Uint8Array.fromBase64(x, { alphabet: "base64url" }), privateKey };
}

function signerOf(privateKey: KeyObject): (message: Uint8Array) => Uint8Array {
  return (message) => new Uint8Array(sign(null, message, privateKey));
}
