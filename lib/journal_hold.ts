/**
 * What an owner has taken away and the server's operator can bring back within the hold (docs/format.md, "Bringing
 * back"): revoked devices, replaced recovery codes, replaced slots.
 */
import { equalBytes } from "./bytes.ts";
import { type Author, type Effect, fault } from "./journal_author.ts";
import { decodeRestore, Restored } from "./journal_body.ts";
import { holdAt, type JournalFacts, type RecoveryFacts, type SlotFacts } from "./journal_facts.ts";
import type { JournalEvent } from "./journal.ts";
import { VAULT } from "./limits.ts";

/** The operator can undo what an owner did within the hold, and nothing else: nobody new comes in. */
export function bringBack(facts: JournalFacts, event: JournalEvent, author: Author): Effect {
  if (author.by !== "server") throw fault("refused", event, "only the server brings back");
  const { what, id, number } = decodeRestore(event.body);
  const { timeMs } = event;
  switch (what) {
    case Restored.DEVICE: {
      const device = facts.devices.get(id.toHex());
      if (!device?.revoked) throw fault("impossible", event, "no such revoked device");
      if (timeMs >= device.heldUntilMs) throw fault("refused", event, "its hold is over");
      return () => Object.assign(device, { revoked: false, heldUntilMs: 0, isRestored: true });
    }
    case Restored.RECOVERY: {
      const former = facts.formerRecovery.find((code) => equalBytes(code.id, id));
      if (former === undefined) throw fault("impossible", event, "no such former recovery code");
      if (timeMs >= former.heldUntilMs) throw fault("refused", event, "its hold is over");
      const heldUntilMs = timeMs + holdAt(facts, timeMs);
      const { keys, lastNumber } = former;
      const next = { id: former.id, keys, lastNumber, isRestored: true };
      return () => {
        facts.formerRecovery = facts.formerRecovery.filter((code) => code !== former);
        holdRecovery(facts, { next, timeMs, heldUntilMs });
      };
    }
    case Restored.SLOT: {
      const recipient = id.toHex();
      const former = facts.formerSlots.find((slot) =>
        slot.recipient === recipient && slot.event.number === number
      );
      if (former === undefined) throw fault("impossible", event, "no such former slot");
      if (timeMs >= former.heldUntilMs) throw fault("refused", event, "its hold is over");
      const heldUntilMs = timeMs + holdAt(facts, timeMs);
      return () => {
        facts.formerSlots = facts.formerSlots.filter((slot) => slot !== former);
        holdSlot(facts, { recipient, timeMs, heldUntilMs });
        facts.slots.set(recipient, { epoch: former.epoch, event: former.event });
      };
    }
  }
}

/** Whether an author is somebody whom the operator has brought back, or who came by such a one. */
export function isFromRestored(
  facts: JournalFacts,
  { author, grant }: { author: Author; grant?: { owner: Uint8Array } | undefined },
): boolean {
  if (author.by === "device") return author.device.isRestored;
  if (author.by === "recovery") return facts.recovery.isRestored;
  return grant !== undefined && facts.devices.get(grant.owner.toHex())?.isRestored === true;
}

/** Keeps the slot that is about to be replaced. */
export function holdSlot(
  facts: JournalFacts,
  { recipient, timeMs, heldUntilMs }: { recipient: string; timeMs: number; heldUntilMs: number },
): void {
  facts.formerSlots = facts.formerSlots.filter((slot) => slot.heldUntilMs > timeMs);
  const replaced: SlotFacts | undefined = facts.slots.get(recipient);
  const count = facts.formerSlots.filter((slot) => slot.recipient === recipient).length;
  // Of too many the oldest stay: who replaces a slot again and again cannot push out the right one.
  if (replaced === undefined || count >= VAULT.heldPerRecipientMax) return;
  facts.formerSlots.push({ recipient, ...replaced, heldUntilMs });
}

/** Puts a recovery code in the place of another, which is kept with its slot. */
export function holdRecovery(
  facts: JournalFacts,
  { next, timeMs, heldUntilMs }: { next: RecoveryFacts; timeMs: number; heldUntilMs: number },
): void {
  const held = facts.formerRecovery.filter((code) => code.heldUntilMs > timeMs);
  const kept = held.length < VAULT.heldPerRecipientMax;
  if (kept) held.push({ ...facts.recovery, heldUntilMs });
  facts.formerRecovery = held;
  facts.recovery = next;
  const known = new Set([next, ...held].map(({ id }) => id.toHex()));
  for (const recipient of facts.slots.keys()) {
    if (!facts.devices.has(recipient) && !known.has(recipient)) facts.slots.delete(recipient);
  }
}

/** A code's id must stay its own for as long as it can be brought back. */
export function isCodeKnown({ recovery, formerRecovery }: JournalFacts, id: Uint8Array): boolean {
  return [recovery, ...formerRecovery].some((code) => equalBytes(code.id, id));
}
