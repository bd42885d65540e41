/**
 * Gets records of a vault and opens them, as a reader may (docs/format.md, "Sessions"): each reference's key is masked by
 * the key of a session, which is wrapped to the vault's read key. Nothing that the server sends is believed before its
 * hash and its tag are right.
 */
import { DamagedError, RefusedError } from "../errors.ts";
import { READER } from "../limits.ts";
import { RecordState } from "../protocol_v4.ts";
import type { RecordContent } from "../vault/seal.ts";
import { openRecord } from "../vault/seal.ts";
import { openRoot, type Root, rootSession } from "../vault/root.ts";
import {
  openSession,
  type Reference,
  type Session,
  sessionEpoch,
  unmaskKey,
} from "../vault/session.ts";
import type { UnwrapKey } from "../vault/wrap.ts";
import { importReadKeys, type Profile } from "./profile.ts";
import type { VaultClientSession } from "./session_v4.ts";

/** A record is missing or damaged at the server, or was replaced on the way. */
export class RecordError extends DamagedError {
  override name = "RecordError";
}

export class RecordLoader {
  readonly #session: VaultClientSession;
  readonly #vaultId: Uint8Array;
  readonly #readKeys: (UnwrapKey | undefined)[];
  /** By id, oldest first. A session is worth keeping: opening one takes milliseconds. */
  readonly #sessions = new Map<string, Promise<Session>>();
  /** What was unmasked: small files share records, and their entries a reference. */
  readonly #keys = new WeakMap<Reference, Uint8Array<ArrayBuffer>>();

  private constructor(
    { session, vaultId, readKeys }: {
      session: VaultClientSession;
      vaultId: Uint8Array;
      readKeys: (UnwrapKey | undefined)[];
    },
  ) {
    this.#session = session;
    this.#vaultId = vaultId;
    this.#readKeys = readKeys;
  }

  /** @throws {RefusedError} if this device may only write */
  static async create(profile: Profile, session: VaultClientSession): Promise<RecordLoader> {
    const readKeys = await importReadKeys(profile.keyring);
    if (readKeys.length === 0) {
      throw new RefusedError("Cannot read snapshots: this device may only write", {
        hint: "a reader or an owner of the vault can",
      });
    }
    return new RecordLoader({ session, vaultId: profile.vaultId, readKeys });
  }

  /** Gets the record of a reference and opens it. @throws {DamagedError} if it is not there, or not right */
  readonly load = async (reference: Reference): Promise<RecordContent> => {
    const [record, key] = await Promise.all([this.fetch(reference.id), this.unmask(reference)]);
    return openRecord(record, { id: reference.id, key });
  };

  /** The key of the record that a reference names. */
  async unmask(reference: Reference): Promise<Uint8Array<ArrayBuffer>> {
    const known = this.#keys.get(reference);
    if (known !== undefined) return known;
    const key = unmaskKey(await this.#openSession(reference.session), reference);
    this.#keys.set(reference, key);
    return key;
  }

  /** The snapshot with this root. */
  async loadRoot(id: Uint8Array): Promise<Root> {
    const record = await this.fetch(id);
    return await openRoot(record, { id, session: await this.#openSession(rootSession(record)) });
  }

  /** A record as it is stored; its bytes are not compared with its id. */
  async fetch(id: Uint8Array): Promise<Uint8Array> {
    const { state, record } = await this.#session.getAnswer(id);
    if (state === RecordState.FOUND) return record;
    throw recordError(id, state);
  }

  #openSession(id: Uint8Array): Promise<Session> {
    const name = id.toHex();
    const known = this.#sessions.get(name);
    if (known !== undefined) return known;
    const opening = this.#loadSession(id);
    opening.catch(() => {}); // whoever waits for it is told
    this.#sessions.set(name, opening);
    if (this.#sessions.size > READER.sessionsMax) {
      this.#sessions.delete(this.#sessions.keys().next().value!);
    }
    return opening;
  }

  async #loadSession(id: Uint8Array): Promise<Session> {
    const record = await this.fetch(id);
    const epoch = sessionEpoch(record, id);
    const readKey = this.#readKeys[epoch - 1];
    if (readKey === undefined) {
      throw new RefusedError(`Cannot read: this device does not have the keys of epoch ${epoch}`);
    }
    return await openSession(record, { id, vaultId: this.#vaultId, readKey });
  }
}

/** @param state what the server says of a record that it does not give */
export function recordError(id: Uint8Array, state: RecordState): RecordError {
  const what = state === RecordState.DAMAGED ? "damaged" : "missing";
  return new RecordError(
    `Cannot read record ${id.toHex().slice(0, 16)}: it is ${what} at the server`,
  );
}
