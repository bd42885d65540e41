/** What several tests of the vault format need. */
import type { Entry } from "../../lib/vault/entry.ts";
import { type RecordContent, sealRecord } from "../../lib/vault/seal.ts";
import type { Reference } from "../../lib/vault/session.ts";
import { encodeRecordHeader, recordId } from "../../lib/record.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { hmac } from "../../lib/kdf.ts";

/** Bytes that do not compress, the same for the same seed (xorshift32). */
export function pseudoRandom(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = Math.imul(seed + 1, 0x9e3779b1) || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** 32 bytes that belong to a number. */
export function idOf(number: number, kind = 1): Uint8Array<ArrayBuffer> {
  return hmac(Uint8Array.of(kind), new TextEncoder().encode(String(number)));
}

const references = new Map<string, Reference>();

export function referenceOf(number: number, session = 0): Reference {
  const name = `${number} ${session}`;
  const known = references.get(name);
  if (known !== undefined) return known;
  const made = { id: idOf(number), session: idOf(session, 2), maskedKey: idOf(number, 3) };
  references.set(name, made);
  return made;
}

export function entryOf(path: string, fields: Partial<Entry> = {}): Entry {
  const times = { mtimeMs: 1_700_000_000_000, ctimeMs: 1_700_000_000_001 };
  const numbers = { size: 0, mode: 0o644, uid: 1000, gid: 1000, inode: 42, nlink: 1 };
  return { path, type: "file", ...numbers, ...times, ...fields };
}

/** A record whole, as the server gets it, and what opens it. */
export function sealWhole(
  recordKey: Uint8Array,
  content: RecordContent,
): { id: Uint8Array; key: Uint8Array; record: Uint8Array<ArrayBuffer> } {
  const { parts, ...sealed } = sealRecord(recordKey, content);
  return { ...sealed, record: concatBytes(...parts) };
}

/** Keeps records unsealed, named by their contents. */
export class PlainStore {
  readonly records = new Map<string, RecordContent>();
  emitted = 0;

  readonly emit = (content: RecordContent): Promise<Reference> => {
    const { type, links, plaintext } = content;
    const id = recordId(concatBytes(encodeRecordHeader({ type, links }), plaintext));
    this.records.set(id.toHex(), content);
    this.emitted++;
    return Promise.resolve({ id, session: idOf(0, 2), maskedKey: id });
  };

  readonly load = (reference: Reference): Promise<RecordContent> => {
    return Promise.resolve(this.records.get(reference.id.toHex())!);
  };
}
