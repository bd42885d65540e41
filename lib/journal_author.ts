/** Who adds to a journal, what an event of theirs does, and what is wrong with one (docs/format.md, "Journal"). */
import type { DeviceFacts } from "./journal_facts.ts";
import { JournalError, type JournalFault } from "./journal.ts";

/** Who signed an event. `server` signs nothing: what it adds must follow from what is there. */
export type Author =
  | { by: "device"; device: DeviceFacts }
  | { by: "recovery" }
  | { by: "invite"; id: string }
  | { by: "server" };

/** Changes the facts. Run at most once, before any other event. */
export type Effect = () => void;

/** An error that names the event. */
export function fault(
  kind: JournalFault,
  event: { number: number },
  state: string,
  cause?: unknown,
): JournalError {
  return new JournalError(kind, `Cannot accept event ${event.number}: ${state}`, { cause });
}
