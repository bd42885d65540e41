/**
 * Seals and sends the records of the tree. One that is the same as in the last snapshot keeps the reference that it had
 * there: so what names it stays the same too, and of an unchanged tree nothing is sent but its root.
 */
import { releaseBytes } from "../bytes.ts";
import { RecordType } from "../record.ts";
import { sealRecord } from "../vault/seal.ts";
import { maskKey, type Reference, type Session } from "../vault/session.ts";
import type { Emit } from "../vault/tree_builder.ts";
import type { KeptCursor } from "./kept_cursor.ts";
import type { KeptRecorder } from "./kept_recorder.ts";
import type { OpenSegment } from "./open_segment.ts";
import type { RecordSender } from "./record_sender.ts";

export interface TreeEmitterOptions {
  recordKey: Uint8Array;
  session: Session;
  sender: RecordSender;
  kept: KeptCursor | undefined;
  recorder: KeptRecorder;
}

export class TreeEmitter {
  readonly #options: TreeEmitterOptions;
  /** References of the index records so far. */
  readonly indexes: Reference[] = [];

  constructor(options: TreeEmitterOptions) {
    this.#options = options;
  }

  /** Takes over a segment of the last snapshot, which the server has. */
  readonly keep = ({ kept, number }: OpenSegment): void => {
    this.#options.recorder.addSegment(kept, number);
  };

  /** The builders' way out; see `Emit`. The contents are gone then. */
  readonly emit: Emit = async (content, stamps) => {
    const { recordKey, session, sender, kept, recorder } = this.#options;
    const { id, key, parts } = sealRecord(recordKey, content);
    const known = kept?.known(id);
    const reference = known?.reference ?? maskKey(session, { id, key });
    const release = () => parts.forEach(releaseBytes);
    if (known?.isThere !== true) await sender.send({ id, parts, release });
    else release();
    if (content.type === RecordType.SEGMENT) {
      recorder.addSegment({ reference, content, stamps }, known?.number);
    }
    if (content.type === RecordType.INDEX) this.indexes.push(reference);
    releaseBytes(content.plaintext);
    return reference;
  };
}
