/**
 * Replays a journal (docs/format.md, "Journal"): takes events one after another, checks each against
 * all before it, and keeps what they add up to. The server does this with what devices send, clients
 * with what the server shows; what one refuses, so does the other.
 */
import type { KeyObject } from "node:crypto";
import { equalBytes, TruncatedError } from "./bytes.ts";
import { decodeDevice, decodeFound, type FoundBody } from "./journal_body.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./journal_checkpoint.ts";
import { type DeviceFacts, initialPolicy, type JournalFacts, SeenHashes } from "./journal_facts.ts";
import {
  decodeEvent,
  EventKind,
  importVerifier,
  inviteMessage,
  isServersOwn,
  JOURNAL_START,
  JournalError,
  type JournalEvent,
  type JournalPoint,
  signedMessage,
  vaultIdOf,
  verifySignature,
} from "./journal.ts";
import { type Author, type Effect, fault } from "./journal_author.ts";
import { checkCode } from "./journal_code.ts";
import { findDroppable, judgeEvent } from "./journal_rules.ts";
import { type SnapshotRow, SnapshotTable } from "./journal_snapshots.ts";
import { deviceId, inviteId, recoveryId, Role } from "./identity.ts";
import { VAULT } from "./limits.ts";

/** The end of the year 9999. */
const TIME_MS_MAX = 253402300799999;

/** A journal's events up to some point. */
export class JournalState {
  #facts: JournalFacts | undefined;
  /** Imported keys, by id of the signer; importing takes as long as verifying. */
  readonly #verifiers = new Map<string, KeyObject>();

  /** A state from {@link JournalState.encode}. Only for bytes that this side stored itself. */
  static decode(checkpoint: Uint8Array): JournalState {
    const state = new JournalState();
    state.#facts = decodeCheckpoint(checkpoint);
    return state;
  }

  /** The state as bytes, so that the events need not be replayed. */
  encode(): Uint8Array<ArrayBuffer> {
    return encodeCheckpoint(this.facts);
  }

  /**
   * What the events add up to. Only to read.
   *
   * @throws {RangeError} before the found event
   */
  get facts(): Readonly<JournalFacts> {
    if (this.#facts === undefined) throw new RangeError("The journal has no events");
    return this.#facts;
  }

  get isEmpty(): boolean {
    return this.#facts === undefined;
  }

  /** The newest event. */
  get newest(): JournalPoint {
    return this.#facts === undefined ? JOURNAL_START : this.#facts.newest;
  }

  /** A device that is or was in the vault, by its id. */
  device(id: Uint8Array): DeviceFacts | undefined {
    return this.#facts?.devices.get(id.toHex());
  }

  snapshot(root: Uint8Array): SnapshotRow | undefined {
    return this.#facts?.snapshots.get(root);
  }

  /** Roots that a drop event of this time may name. */
  droppable(timeMs: number): Generator<Uint8Array> {
    return findDroppable(this.facts, timeMs);
  }

  /**
   * Whether an event is right as the next one. Changes nothing.
   *
   * @throws {JournalError} with what is wrong
   */
  check(bytes: Uint8Array): JournalEvent {
    const event = decodeEvent(bytes);
    this.#judge(event);
    return event;
  }

  /** The same, and takes the event in. On an error the state is as before. */
  apply(bytes: Uint8Array): JournalEvent {
    const event = decodeEvent(bytes);
    const effect = this.#judge(event);
    effect();
    const facts = this.facts as JournalFacts;
    facts.newest = { number: event.number, hash: event.hash };
    facts.timeMs = event.timeMs;
    facts.seenHashes.set(facts.newest);
    return event;
  }

  /**
   * Checks a point that somebody says is of this journal: the newest one that another device, or the
   * server, names.
   *
   * @throws {JournalError} `cut` if the journal does not reach it, `seen` if it has another event
   * there, `stale` if that was too long ago to tell
   */
  checkPoint(point: JournalPoint): void {
    this.#comparePoint(point, (kind, state) => {
      return new JournalError(kind, `Cannot trust journal: ${state}`);
    });
  }

  #judge(event: JournalEvent): Effect {
    this.#checkPlace(event);
    if (this.#facts === undefined) return this.#judgeFound(event);
    const author = this.#identify(this.#facts, event);
    const effect = judgeEvent(this.#facts, event, author);
    return () => {
      effect();
      if (author.by === "device") author.device.lastNumber = event.number;
      if (author.by === "recovery") this.facts.recovery.lastNumber = event.number;
    };
  }

  #checkPlace(event: JournalEvent): void {
    const expected = this.newest.number + 1;
    if (event.number > expected) throw fault("cut", event, `event ${expected} is missing`);
    if (event.number < expected) throw fault("cut", event, `event ${expected} is expected`);
    if (!equalBytes(event.previous, this.newest.hash)) {
      throw fault("chain", event, `it does not follow event ${expected - 1}`);
    }
    if (event.timeMs > TIME_MS_MAX || event.timeMs < (this.#facts?.timeMs ?? 0)) {
      throw fault("impossible", event, "its time is before that of the event before it");
    }
  }

  #judgeFound(event: JournalEvent): Effect {
    if (event.kind !== EventKind.FOUND) throw fault("impossible", event, "it founds no vault");
    const body = decodeBody({ ...event, body: event.body.slice() }, decodeFound);
    const vaultId = vaultIdOf(event.body);
    const id = deviceId(body.owner);
    if (!equalBytes(event.signer, id)) throw fault("refused", event, "another device signed it");
    if (event.seen.number !== 0) {
      throw fault("seen", event, "there is nothing that it can have seen");
    }
    this.#verify(event, { vaultId, publicKey: body.owner.ed25519 });
    checkCode(event, { vaultId, publicKey: body.recovery.ed25519 });
    return () => void (this.#facts = foundFacts(event, { vaultId, id, body }));
  }

  /** Who signed an event: checks the signature and what the signer had seen. */
  #identify(facts: JournalFacts, event: JournalEvent): Author {
    if (isServersOwn(event.kind)) return this.#checkUnsigned(event);
    const { author, publicKey, lastNumber } = this.#findSigner(facts, event);
    this.#verify(event, { vaultId: facts.vaultId, publicKey });
    this.#comparePoint(event.seen, (kind, state) => fault(kind, event, state));
    // Otherwise a server could put the same statement into the journal a second time.
    if (event.seen.number < lastNumber) {
      throw fault("stale", event, `its signer had not seen its own event ${lastNumber}`);
    }
    return author;
  }

  #checkUnsigned(event: JournalEvent): Author {
    const signed = [event.signer, event.seen.hash, event.signature];
    if (event.seen.number !== 0 || signed.some((field) => field.some((byte) => byte !== 0))) {
      throw fault("malformed", event, "the server signs nothing");
    }
    return { by: "server" };
  }

  #findSigner(
    facts: JournalFacts,
    event: JournalEvent,
  ): { author: Author; publicKey: Uint8Array; lastNumber: number } {
    const device = facts.devices.get(event.signer.toHex());
    if (device !== undefined) {
      if (device.revoked) throw fault("refused", event, "its signer is revoked");
      const { lastNumber } = device;
      return { author: { by: "device", device }, publicKey: device.keys.ed25519, lastNumber };
    }
    const { recovery } = facts;
    if (equalBytes(recovery.id, event.signer)) {
      const { lastNumber } = recovery;
      return { author: { by: "recovery" }, publicKey: recovery.keys.ed25519, lastNumber };
    }
    if (event.kind !== EventKind.DEVICE) throw fault("refused", event, "nobody knows its signer");
    return { ...this.#findInvite(facts, event), lastNumber: 0 };
  }

  /** The signer of a device event that comes by an invite: an owner's signature vouches for it. */
  #findInvite(
    facts: JournalFacts,
    event: JournalEvent,
  ): { author: Author; publicKey: Uint8Array } {
    const { role, grant } = decodeBody(event, decodeDevice);
    if (grant === undefined || !equalBytes(inviteId(grant.publicKey), event.signer)) {
      throw fault("refused", event, "nobody knows its signer");
    }
    const owner = facts.devices.get(grant.owner.toHex());
    if (owner === undefined || owner.role !== Role.OWNER || owner.revoked) {
      throw fault("refused", event, "its invite is not from an owner");
    }
    const message = inviteMessage({ ...grant, role }, facts.vaultId);
    const verifier = this.#verifier(owner.keys.ed25519);
    if (!verifySignature(message, { verifier, signature: grant.signature })) {
      throw fault("signature", event, "its invite is not signed by its owner");
    }
    if (event.timeMs > grant.expiresMs) throw fault("refused", event, "its invite has expired");
    const id = event.signer.toHex();
    if (facts.usedInvites.has(id)) throw fault("refused", event, "its invite was used before");
    return { author: { by: "invite", id }, publicKey: grant.publicKey };
  }

  #verify(
    event: JournalEvent,
    { vaultId, publicKey }: { vaultId: Uint8Array; publicKey: Uint8Array },
  ): void {
    const message = signedMessage(event, vaultId);
    const verifier = this.#verifier(publicKey);
    if (!verifySignature(message, { verifier, signature: event.signature })) {
      throw fault("signature", event, "its signature is wrong");
    }
  }

  #verifier(publicKey: Uint8Array): KeyObject {
    const name = publicKey.toHex();
    let verifier = this.#verifiers.get(name);
    if (verifier === undefined) {
      verifier = importVerifier(publicKey);
      if (this.#verifiers.size < VAULT.devicesMax) this.#verifiers.set(name, verifier);
    }
    return verifier;
  }

  #comparePoint(
    point: JournalPoint,
    makeError: (kind: "cut" | "seen" | "stale", state: string) => JournalError,
  ): void {
    const { number, hash } = point;
    const newest = this.newest.number;
    if (number > newest) {
      throw makeError("cut", `event ${number} was seen, but the journal ends at ${newest}`);
    }
    if (number < 1 || number <= newest - VAULT.seenEventsMax) {
      throw makeError("stale", `event ${number} is too long ago`);
    }
    if (!equalBytes(this.facts.seenHashes.get(number), hash)) {
      throw makeError("seen", `another event ${number} was seen: there are two histories`);
    }
  }
}

function foundFacts(
  event: JournalEvent,
  { vaultId, id, body }: { vaultId: Uint8Array; id: Uint8Array; body: FoundBody },
): JournalFacts {
  const { owner, recovery, readKey, secretCheck, sealedName } = body;
  const { number, hash, timeMs } = event;
  const device: DeviceFacts = {
    ...{ id, index: 0, role: Role.OWNER, keys: owner, sealedName },
    ...{ addedMs: timeMs, revoked: false, revokedNumber: 0, heldUntilMs: 0 },
    ...{ isRestored: false, lastNumber: number, committedMs: 0 },
  };
  const policy = initialPolicy();
  return {
    ...{ vaultId, newest: { number, hash }, timeMs, seenHashes: new SeenHashes() },
    devices: new Map([[id.toHex(), device]]),
    recovery: { id: recoveryId(recovery), keys: recovery, lastNumber: 0, isRestored: false },
    formerRecovery: [],
    epochs: [{ epoch: 1, readKey, secretCheck, number, isRestored: false }],
    slots: new Map(),
    formerSlots: [],
    usedInvites: new Set(),
    ...{ policy, policySinceMs: timeMs, holdBeforeMs: policy.holdMs },
    snapshots: new SnapshotTable(),
    drills: new Map(),
  };
}

/** The body's fields are views of the event. */
function decodeBody<T>(event: JournalEvent, decode: (bytes: Uint8Array) => T): T {
  try {
    return decode(event.body);
  } catch (cause) {
    if (cause instanceof TruncatedError || cause instanceof RangeError) {
      throw fault("malformed", event, "its body cannot be decoded", cause);
    }
    throw cause;
  }
}
