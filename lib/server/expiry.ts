/**
 * Drops snapshots that were forgotten, or that the policy gives up, once their hold has passed (docs/format.md,
 * "Policy"). The journal refuses a drop that follows from neither, and so does every client.
 */
import {
  encodeStatement,
  EventKind,
  JOURNAL_START,
  JournalError,
  SIGNATURE_BYTES,
} from "../journal.ts";
import { encodeRoots } from "../journal_body.ts";
import { SIGNER_ID_BYTES } from "../identity.ts";
import { UPKEEP, VAULT } from "../limits.ts";
import type { Clock } from "../time.ts";
import type { VaultJournal } from "./vault_journal.ts";

export interface ExpiryResult {
  dropped: number;
  /** Why nothing may be dropped now. */
  stopped?: string;
}

/**
 * @param extraHoldMs how much longer than the owners want the operator holds everything
 */
export async function dropGivenUp(
  journal: VaultJournal,
  { clock, extraHoldMs }: { clock: Clock; extraHoldMs: number },
): Promise<ExpiryResult> {
  let dropped = 0;
  for (;;) {
    const nowMs = clock.wall();
    // A clock that was ahead has left times in the journal that are still to come.
    if (journal.state.facts.timeMs > nowMs + UPKEEP.clockStepMs) {
      return { dropped, stopped: "the journal has events of a later time than the clock's" };
    }
    const roots = take(journal.state.droppable(nowMs - extraHoldMs), VAULT.rootsPerEventMax);
    if (roots.length === 0) return { dropped };
    try {
      await journal.append(dropStatement(roots));
    } catch (error) {
      // An owner was faster: one of them was brought back, or the policy is another.
      if (error instanceof JournalError) return { dropped };
      throw error;
    }
    dropped += roots.length;
  }
}

function dropStatement(roots: Uint8Array[]): Uint8Array {
  return encodeStatement({
    kind: EventKind.DROP,
    signer: new Uint8Array(SIGNER_ID_BYTES),
    seen: JOURNAL_START,
    body: encodeRoots(roots),
    signature: new Uint8Array(SIGNATURE_BYTES),
  });
}

function take<T>(items: Iterable<T>, max: number): T[] {
  const taken: T[] = [];
  for (const item of items) {
    taken.push(item);
    if (taken.length === max) break;
  }
  return taken;
}
