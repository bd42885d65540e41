/**
 * The references of one record, and their first line of text (docs/format.md, "Records of text"). Ids
 * stand in the record's header only, as links: sessions first, then what is referred to.
 */
import { DamagedError } from "../errors.ts";
import { VAULT } from "../limits.ts";
import { MASKED_KEY_BYTES, type Reference } from "./session.ts";

/** The first line of a record of text. */
export interface TableLine {
  version: number;
  /** How many of the links are sessions. */
  sessions: number;
  /** For each of the other links: which session, and the masked key in Base64. */
  references: [number, string][];
}

export const TEXT_VERSION = 1;

/** Collects the references of a record that is being made. */
export class ReferenceTable {
  readonly #sessions = new Map<string, { index: number; id: Uint8Array }>();
  readonly #references = new Map<string, { index: number; reference: Reference }>();
  /** Most references come again as the same object. */
  readonly #known = new Map<Reference, number>();

  /** Number of links that the record has so far. */
  get linkCount(): number {
    return this.#sessions.size + this.#references.size;
  }

  /** The index of a reference, which is added if no other names the same record. */
  add(reference: Reference): number {
    const known = this.#known.get(reference);
    if (known !== undefined) return known;
    const id = reference.id.toHex();
    let index = this.#references.get(id)?.index;
    if (index === undefined) {
      index = this.#references.size;
      this.#references.set(id, { index, reference });
      this.addSession(reference.session);
    }
    this.#known.set(reference, index);
    return index;
  }

  /** The index of a session. */
  addSession(id: Uint8Array): number {
    const name = id.toHex();
    const known = this.#sessions.get(name);
    if (known !== undefined) return known.index;
    const index = this.#sessions.size;
    this.#sessions.set(name, { index, id });
    return index;
  }

  /** The record's links. */
  links(): Uint8Array[] {
    const sessions = [...this.#sessions.values()].map(({ id }) => id);
    return [...sessions, ...[...this.#references.values()].map(({ reference }) => reference.id)];
  }

  /** The fields of the record's first line. */
  line(): TableLine {
    const references = [...this.#references.values()].map(({ reference }): [number, string] => {
      return [this.addSession(reference.session), reference.maskedKey.toBase64()];
    });
    return { version: TEXT_VERSION, sessions: this.#sessions.size, references };
  }
}

/**
 * The references of a record, from its links and its first line.
 *
 * @throws {DamagedError} if they do not fit together
 */
export function decodeReferences(line: TableLine, links: Uint8Array[]): Reference[] {
  const { version, sessions, references } = line;
  if (version !== TEXT_VERSION) throw damaged(`unknown version ${version}`);
  if (!Number.isSafeInteger(sessions) || sessions < 0 || !Array.isArray(references)) {
    throw damaged("bad fields");
  }
  if (sessions + references.length !== links.length || links.length > VAULT.linksMax) {
    throw damaged("their number is not that of the links");
  }
  return references.map((fields, index) => {
    if (!Array.isArray(fields) || fields.length !== 2) throw damaged("bad fields");
    const [session, key] = fields;
    if (!Number.isSafeInteger(session) || session < 0 || session >= sessions) {
      throw damaged("no such session");
    }
    return { id: links[sessions + index], session: links[session], maskedKey: decodeKey(key) };
  });
}

function decodeKey(text: unknown): Uint8Array {
  if (typeof text !== "string" || text.length !== 44) throw damaged("bad key");
  try {
    const key = Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
    if (key.length === MASKED_KEY_BYTES) return key;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw damaged("bad key");
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot decode references: ${state}`);
}
