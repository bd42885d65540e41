/**
 * Seals file contents and sends them. What is sealed has been copied when {@link ContentSealer.seal} returns, so buffers
 * can be used again; a few records may wait for the sender meanwhile.
 */
import { releaseBytes } from "../bytes.ts";
import { BACKUP } from "../limits.ts";
import { RecordType } from "../record.ts";
import { sealRecord } from "../vault/seal.ts";
import { maskKey, type Reference, type Session } from "../vault/session.ts";
import type { RecordSender } from "./record_sender.ts";
import { ComputeMeter } from "./spare_cores.ts";

export class ContentSealer {
  /** Of sealing. */
  readonly meter = new ComputeMeter();
  readonly #recordKey: Uint8Array;
  readonly #session: Session;
  readonly #sender: RecordSender;
  #sealing = 0;
  #wakers: (() => void)[] = [];

  constructor(
    { recordKey, session, sender }: {
      recordKey: Uint8Array;
      session: Session;
      sender: RecordSender;
    },
  ) {
    this.#recordKey = recordKey;
    this.#session = session;
    this.#sender = sender;
  }

  /** Waits until another record may be made. */
  async ready(): Promise<void> {
    while (this.#sealing >= BACKUP.sealsMax) {
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
  }

  /** The reference of a data record with these bytes, once the sender has it. */
  seal(plaintext: Uint8Array): Promise<Reference> {
    this.#sealing++;
    const sealing = this.#seal(plaintext);
    sealing.catch(() => {}); // whoever waits for it, waits later
    return sealing;
  }

  async #seal(plaintext: Uint8Array): Promise<Reference> {
    try {
      const content = { type: RecordType.DATA, links: [], plaintext };
      const sealed = this.meter.measure(() => sealRecord(this.#recordKey, content));
      const reference = maskKey(this.#session, sealed);
      const { id, parts } = sealed;
      await this.#sender.send({ id, parts, release: () => parts.forEach(releaseBytes) });
      return reference;
    } finally {
      this.#sealing--;
      const wakers = this.#wakers;
      this.#wakers = [];
      for (const wake of wakers) wake();
    }
  }
}
