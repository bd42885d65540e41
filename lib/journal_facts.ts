/**
 * What a journal's events add up to (docs/format.md, "Journal"): plain data, which
 * `journal_rules.ts` changes and `journal_checkpoint.ts` stores.
 */
import type { DrillBody, RetentionPolicy } from "./journal_body.ts";
import { EVENT_HASH_BYTES, type JournalPoint } from "./journal.ts";
import { SnapshotTable } from "./journal_snapshots.ts";
import type { DeviceKeys, ReadKey, RecoveryKeys, Role } from "./identity.ts";
import { VAULT } from "./limits.ts";

/** A device that the journal has added, now or formerly. */
export interface DeviceFacts {
  /** 16 bytes. */
  id: Uint8Array;
  /** Order in which devices joined; from 0. */
  index: number;
  role: Role;
  keys: DeviceKeys;
  sealedName: Uint8Array;
  addedMs: number;
  revoked: boolean;
  /** Number of the event that revoked it last; 0 if none did. */
  revokedNumber: number;
  /** Until when the server's operator can bring it back, once it is revoked. */
  heldUntilMs: number;
  /**
   * The operator has brought it back, or it was let in by such a one, and no other owner has given it keys since. What
   * it says is the journal's, but nobody takes keys from it unasked.
   */
  isRestored: boolean;
  /** Number of the newest event that it signed. */
  lastNumber: number;
  /** Time of its newest commit; 0 if there is none. */
  committedMs: number;
}

/** The recovery code's public side. */
export interface RecoveryFacts {
  /** Also the locator. 16 bytes. */
  id: Uint8Array;
  keys: RecoveryKeys;
  lastNumber: number;
  /** As of a device. */
  isRestored: boolean;
}

/** A recovery code that another has replaced. Its slot stays where it was. */
export interface FormerRecovery extends RecoveryFacts {
  heldUntilMs: number;
}

/** One epoch: the read key that sessions are wrapped to, and how its write secret is recognised. */
export interface EpochFacts {
  /** 1 for the first. */
  epoch: number;
  readKey: ReadKey;
  secretCheck: Uint8Array;
  /** Number of the event that began it. */
  number: number;
  /** Whether an owner began it that the operator had brought back. */
  isRestored: boolean;
}

/** Where the newest slot of a recipient is: the event itself holds the sealed keyring. */
export interface SlotFacts {
  epoch: number;
  event: JournalPoint;
}

/** A slot that another has replaced. */
export interface FormerSlot extends SlotFacts {
  /** Recipient's id, hexadecimal. */
  recipient: string;
  heldUntilMs: number;
}

/** The newest drill of a device. */
export interface DrillFacts extends DrillBody {
  timeMs: number;
}

/** Everything that a vault's found event fixes, and everything that later events add. */
export interface JournalFacts {
  vaultId: Uint8Array;
  newest: JournalPoint;
  /** Time of the newest event. */
  timeMs: number;
  seenHashes: SeenHashes;
  /** By id, hexadecimal; in the order in which they joined. */
  devices: Map<string, DeviceFacts>;
  recovery: RecoveryFacts;
  /** Those that can still be brought back, oldest first. */
  formerRecovery: FormerRecovery[];
  /** In order; the last one is in use. */
  epochs: EpochFacts[];
  /** By recipient's id, hexadecimal. */
  slots: Map<string, SlotFacts>;
  /** Those that can still be brought back, oldest first. */
  formerSlots: FormerSlot[];
  /** Ids of the invites that have added a device, hexadecimal. */
  usedInvites: Set<string>;
  policy: RetentionPolicy;
  policySinceMs: number;
  /** Hold in force before that policy; it lasts on for its own length. */
  holdBeforeMs: number;
  snapshots: SnapshotTable;
  /** The newest of each device that ever made one, by its id, hexadecimal. */
  drills: Map<string, DrillFacts>;
}

/** Hashes of the newest events, to compare with what later ones have seen. */
export class SeenHashes {
  readonly #hashes = new Uint8Array(VAULT.seenEventsMax * EVENT_HASH_BYTES);

  set(point: JournalPoint): void {
    this.#hashes.set(point.hash, this.#at(point.number));
  }

  /** A copy of the hash of an event that is among the newest 4096. */
  get(number: number): Uint8Array {
    return this.#hashes.slice(this.#at(number), this.#at(number) + EVENT_HASH_BYTES);
  }

  #at(number: number): number {
    return (number % VAULT.seenEventsMax) * EVENT_HASH_BYTES;
  }
}

/** Policy of a new vault: everything is kept; what is forgotten is held for a week. */
export function initialPolicy(): RetentionPolicy {
  return {
    holdMs: VAULT.holdMs,
    last: 0,
    hourly: 0,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
  };
}

/**
 * The hold at a time. A policy that shortens it works only when the longer hold has passed since:
 * so whoever steals an owner device cannot destroy at once.
 */
export function holdAt(facts: JournalFacts, timeMs: number): number {
  const { policy, policySinceMs, holdBeforeMs } = facts;
  const old = timeMs < policySinceMs + holdBeforeMs ? holdBeforeMs : 0;
  return Math.max(policy.holdMs, old);
}
