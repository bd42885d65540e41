/**
 * What each kind of event may do, and what it does (docs/format.md, "Who may sign what"). A rule takes
 * an event whose place and signature are right, and gives its effect, to be run once the event is
 * durable; a rule changes nothing itself.
 */
import { equalBytes, TruncatedError } from "./bytes.ts";
import {
  decodeCommit,
  decodeDevice,
  decodeDrill,
  decodeKeys,
  decodePolicy,
} from "./journal_body.ts";
import { decodeRecovery, decodeRevoke, decodeRoots, decodeSlot } from "./journal_body.ts";
import { type Author, type Effect, fault } from "./journal_author.ts";
import { checkCode } from "./journal_code.ts";
import { holdAt, type JournalFacts } from "./journal_facts.ts";
import { bringBack, holdRecovery, holdSlot, isCodeKnown, isFromRestored } from "./journal_hold.ts";
import { EventKind, type JournalEvent } from "./journal.ts";
import type { SnapshotRow } from "./journal_snapshots.ts";
import { deviceId, recoveryId, Role } from "./identity.ts";
import { VAULT } from "./limits.ts";
import { groupBySet, selectKept, setOf } from "./retention.ts";

type Rule = (facts: JournalFacts, event: JournalEvent, author: Author) => Effect;

const RULES: Record<Exclude<EventKind, typeof EventKind.FOUND>, Rule> = {
  [EventKind.DEVICE]: addDevice,
  [EventKind.REVOKE]: revokeDevice,
  [EventKind.KEYS]: startEpoch,
  [EventKind.SLOT]: putSlot,
  [EventKind.COMMIT]: commitSnapshot,
  [EventKind.FORGET]: forgetSnapshots,
  [EventKind.UNFORGET]: unforgetSnapshots,
  [EventKind.POLICY]: setPolicy,
  [EventKind.DROP]: dropSnapshots,
  [EventKind.RECOVERY]: replaceRecovery,
  [EventKind.RESTORE]: bringBack,
  [EventKind.DRILL]: noteDrill,
};

/**
 * The effect of an event after the first.
 *
 * @throws {JournalError} `malformed`, `refused` or `impossible`
 */
export function judgeEvent(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (event.kind === EventKind.FOUND) {
    throw fault("impossible", event, "the vault is there already");
  }
  try {
    return RULES[event.kind](facts, event, author);
  } catch (cause) {
    if (cause instanceof TruncatedError || cause instanceof RangeError) {
      throw fault("malformed", event, "its body cannot be decoded", cause);
    }
    throw cause;
  }
}

/** The roots that a drop at this time may name: forgotten or beyond the policy, and held enough. */
export function* findDroppable(facts: JournalFacts, timeMs: number): Generator<Uint8Array> {
  const unkept = findUnkept(facts, { timeMs });
  for (const snapshot of facts.snapshots) {
    if (mayDrop(snapshot, { timeMs, unkept })) yield snapshot.root;
  }
}

function addDevice(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  // An invite's grant has been checked with the signature.
  if (author.by !== "invite" && author.by !== "recovery") requireOwner(event, author);
  const { role, keys, sealedName, grant } = decodeDevice(event.body);
  if ((grant !== undefined) !== (author.by === "invite")) {
    throw fault("refused", event, "its grant does not belong to its signer");
  }
  const id = deviceId(keys);
  if (facts.devices.has(id.toHex())) {
    throw fault("impossible", event, "the device was added before");
  }
  const index = facts.devices.size;
  if (index >= VAULT.devicesMax) throw fault("impossible", event, "too many devices");
  const added = { addedMs: event.timeMs, lastNumber: 0, committedMs: 0 };
  const isRestored = isFromRestored(facts, { author, grant });
  return () => {
    if (author.by === "invite") facts.usedInvites.add(author.id);
    facts.devices.set(id.toHex(), {
      ...{ id, index, role, ...added, isRestored },
      ...{ revoked: false, revokedNumber: 0, heldUntilMs: 0 },
      keys: { rsa: keys.rsa.slice(), kem: keys.kem.slice(), ed25519: keys.ed25519.slice() },
      sealedName: sealedName.slice(),
    });
  };
}

function revokeDevice(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  const id = decodeRevoke(event.body);
  const isSelf = author.by === "device" && equalBytes(author.device.id, id);
  if (!isSelf) requireOwner(event, author);
  const device = facts.devices.get(id.toHex());
  if (device === undefined) throw fault("impossible", event, "no such device");
  if (device.revoked) throw fault("impossible", event, "the device was revoked before");
  if (device.role === Role.OWNER && countOwners(facts) === 1) {
    throw fault("impossible", event, "the last owner cannot be revoked");
  }
  const heldUntilMs = event.timeMs + holdAt(facts, event.timeMs);
  // Its slot stays, to be there if it is brought back; nobody gives it to a revoked device.
  return () => {
    Object.assign(device, { revoked: true, revokedNumber: event.number, heldUntilMs });
  };
}

function startEpoch(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  requireOwner(event, author);
  const { epoch, readKey, secretCheck } = decodeKeys(event.body);
  if (epoch !== facts.epochs.length + 1) {
    throw fault("impossible", event, `epoch ${epoch} does not follow ${facts.epochs.length}`);
  }
  if (epoch > VAULT.epochsMax) throw fault("impossible", event, "too many epochs");
  return () => {
    const { rsa, kem } = readKey;
    const copy = { rsa: rsa.slice(), kem: kem.slice() };
    facts.epochs.push({
      ...{ epoch, readKey: copy, secretCheck: secretCheck.slice() },
      ...{ number: event.number, isRestored: isFromRestored(facts, { author }) },
    });
  };
}

function putSlot(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (author.by !== "recovery") requireOwner(event, author);
  const { recipient, epoch } = decodeSlot(event.body);
  if (epoch !== facts.epochs.length) {
    throw fault("impossible", event, `its keyring ends at epoch ${epoch}, not the newest`);
  }
  const device = facts.devices.get(recipient.toHex());
  const isKnown = device === undefined ? equalBytes(recipient, facts.recovery.id) : !device.revoked;
  if (!isKnown) throw fault("impossible", event, "no such recipient");
  const point = { number: event.number, hash: event.hash.slice() };
  const heldUntilMs = event.timeMs + holdAt(facts, event.timeMs);
  const isTrusted = !isFromRestored(facts, { author });
  return () => {
    holdSlot(facts, { recipient: recipient.toHex(), timeMs: event.timeMs, heldUntilMs });
    facts.slots.set(recipient.toHex(), { epoch, event: point });
    if (isTrusted) (device ?? facts.recovery).isRestored = false;
  };
}

function commitSnapshot(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (author.by !== "device") throw fault("refused", event, "only a device may commit");
  const { root, setLabel, tagLabels } = decodeCommit(event.body);
  const { number: sinceNumber, epoch } = facts.epochs[facts.epochs.length - 1];
  // What was sealed for an epoch that is over must not come after its end.
  if (event.seen.number < sinceNumber) {
    throw fault("stale", event, `its signer had not seen the keys of epoch ${epoch}`);
  }
  if (facts.snapshots.has(root)) throw fault("impossible", event, "the root was committed before");
  const { timeMs, number } = event;
  const { device: committer } = author;
  const device = committer.index;
  const snapshot = { root, setLabel, tagLabels, timeMs, number, device, holdUntilMs: 0 };
  return () => {
    facts.snapshots.add(snapshot);
    committer.committedMs = timeMs;
  };
}

function forgetSnapshots(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  requireOwner(event, author);
  const roots = decodeDistinctRoots(event);
  for (const root of roots) {
    const snapshot = facts.snapshots.get(root);
    if (snapshot === undefined) throw fault("impossible", event, "no such snapshot");
    if (snapshot.holdUntilMs !== 0) throw fault("impossible", event, "it was forgotten before");
  }
  const holdUntilMs = event.timeMs + holdAt(facts, event.timeMs);
  return () => roots.forEach((root) => facts.snapshots.setHold(root, holdUntilMs));
}

function unforgetSnapshots(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  requireOwner(event, author);
  const roots = decodeDistinctRoots(event);
  for (const root of roots) {
    const snapshot = facts.snapshots.get(root);
    if (snapshot === undefined) throw fault("impossible", event, "no such snapshot");
    if (snapshot.holdUntilMs === 0) throw fault("impossible", event, "it is not forgotten");
  }
  return () => roots.forEach((root) => facts.snapshots.setHold(root, 0));
}

function setPolicy(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  requireOwner(event, author);
  const policy = decodePolicy(event.body);
  const holdBeforeMs = holdAt(facts, event.timeMs);
  return () => {
    facts.policy = policy;
    facts.policySinceMs = event.timeMs;
    facts.holdBeforeMs = holdBeforeMs;
  };
}

function dropSnapshots(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (author.by !== "server") throw fault("refused", event, "only the server drops");
  const roots = decodeDistinctRoots(event);
  const snapshots = roots.map((root) => {
    const snapshot = facts.snapshots.get(root);
    if (snapshot === undefined) throw fault("impossible", event, "no such snapshot");
    return snapshot;
  });
  const sets = new Set(snapshots.map(setOf));
  const unkept = findUnkept(facts, { timeMs: event.timeMs, sets });
  for (const snapshot of snapshots) {
    if (!mayDrop(snapshot, { timeMs: event.timeMs, unkept })) {
      throw fault("refused", event, "it drops what neither a forget nor the policy gives up");
    }
  }
  return () => roots.forEach((root) => facts.snapshots.remove(root));
}

function replaceRecovery(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  requireOwner(event, author);
  const { keys } = decodeRecovery(event.body.slice());
  checkCode(event, { publicKey: keys.ed25519, vaultId: facts.vaultId });
  const id = recoveryId(keys);
  if (isCodeKnown(facts, id)) throw fault("impossible", event, "the code was there before");
  const { timeMs, number: lastNumber } = event;
  const isRestored = isFromRestored(facts, { author });
  const heldUntilMs = timeMs + holdAt(facts, timeMs);
  return () => {
    holdRecovery(facts, { next: { id, keys, lastNumber, isRestored }, timeMs, heldUntilMs });
  };
}

/** Only who can read can have restored; the rest is that device's word. */
function noteDrill(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (author.by !== "device" || author.device.role === Role.WRITER) {
    throw fault("refused", event, "only a reader or an owner may sign it");
  }
  const drill = decodeDrill(event.body);
  if (!facts.snapshots.has(drill.root)) throw fault("impossible", event, "no such snapshot");
  const { timeMs } = event;
  const id = author.device.id.toHex();
  return () => void facts.drills.set(id, { ...drill, root: drill.root.slice(), timeMs });
}

function mayDrop(
  snapshot: SnapshotRow,
  { timeMs, unkept }: { timeMs: number; unkept: Set<number> },
): boolean {
  if (snapshot.holdUntilMs !== 0) return timeMs >= snapshot.holdUntilMs;
  return unkept.has(snapshot.number);
}

/**
 * Numbers of the commits that the policy gave up at least one hold ago: those in force that it would
 * not have kept then, with what is in force now.
 */
function findUnkept(
  facts: JournalFacts,
  { timeMs, sets }: { timeMs: number; sets?: Set<string> },
): Set<number> {
  const asOfMs = timeMs - holdAt(facts, timeMs);
  const unkept = new Set<number>();
  if (asOfMs < facts.policySinceMs) return unkept;
  const counted: Pick<SnapshotRow, "device" | "setLabel" | "timeMs" | "number">[] = [];
  for (const { device, setLabel, timeMs, number, holdUntilMs } of facts.snapshots) {
    if (holdUntilMs !== 0 || timeMs > asOfMs) continue;
    if (sets !== undefined && !sets.has(setOf({ device, setLabel }))) continue;
    counted.push({ device, setLabel, timeMs, number });
  }
  for (const group of groupBySet(counted).values()) {
    const kept = selectKept(group.map(({ timeMs }) => timeMs), facts.policy);
    group.forEach(({ number }, i) => kept[i] || unkept.add(number));
  }
  return unkept;
}

function decodeDistinctRoots(event: JournalEvent): Uint8Array[] {
  const roots = decodeRoots(event.body);
  if (new Set(roots.map((root) => root.toHex())).size !== roots.length) {
    throw fault("malformed", event, "it names a root twice");
  }
  return roots;
}

function requireOwner(event: JournalEvent, author: Author): void {
  if (author.by === "device" && author.device.role === Role.OWNER) return;
  throw fault("refused", event, "only an owner may sign it");
}

function countOwners(facts: JournalFacts): number {
  let count = 0;
  for (const device of facts.devices.values()) {
    if (device.role === Role.OWNER && !device.revoked) count++;
  }
  return count;
}
