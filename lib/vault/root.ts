/**
 * Roots (docs/format.md, "Root"): what a snapshot is of and where its entries are. Sealed under a key of
 * its session, so that not even the other devices of the vault that may only write can open it.
 */
import { concatBytes, equalBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { hkdf } from "../kdf.ts";
import { decodeRecord, encodeRecordHeader, recordId, RecordType } from "../record.ts";
import { decryptAead, encryptAead, NONCE_BYTES } from "./aead.ts";
import { checkLevel, checkTotals, type Totals } from "./index_record.ts";
import { ReferenceTable } from "./reference_table.ts";
import { checkRecordId, padContent, unpadContent } from "./seal.ts";
import type { Reference, Session } from "./session.ts";
import { decodeText, encodeText } from "./text_record.ts";

/** A snapshot. */
export interface Root {
  /** Id of the device, hexadecimal. */
  device: string;
  /** Start of the backup by the device's clock, milliseconds since 1970. */
  timeMs: number;
  host: string;
  /** What was backed up, sorted. */
  paths: string[];
  tags: string[];
  totals: Totals;
  /** Files and folders that could not be read. */
  skipped: number;
  top: Reference;
  /** Levels of index records. */
  level: number;
}

const FIELDS = ["device", "time", "host", "paths", "tags", "entries", "files", "bytes"];
const HEAD_FIELDS = [...FIELDS, "skipped", "level"];
const LIST_ITEMS_MAX = 4096;

/** A root's record: header, nonce 12, contents. Sealing the same root again gives another record. */
export async function sealRoot(
  session: Session,
  root: Root,
): Promise<{ id: Uint8Array<ArrayBuffer>; record: Uint8Array<ArrayBuffer> }> {
  const { links, plaintext } = encodeRoot(session, root);
  const header = encodeRecordHeader({ type: RecordType.ROOT, links });
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const fields = { nonce, covered: header, plaintext: padContent(plaintext) };
  const record = concatBytes(header, nonce, await encryptAead(rootKey(session), fields));
  return { id: recordId(record), record };
}

/**
 * Id of the session that a root is sealed with.
 *
 * @throws {DamagedError} if it is not a root
 */
export function rootSession(record: Uint8Array): Uint8Array {
  const { type, links } = decodeRecord(record);
  if (type !== RecordType.ROOT || links.length < 2) throw damaged("it is none");
  return links[0];
}

/** @throws {DamagedError} if it is not the root of that id, or of another session */
export async function openRoot(
  record: Uint8Array,
  { id, session }: { id: Uint8Array; session: Session },
): Promise<Root> {
  checkRecordId(record, id);
  if (!equalBytes(rootSession(record), session.id)) throw damaged("it is of another session");
  const { type, links, header, body } = decodeRecord(record);
  const [nonce, ciphertext] = [body.subarray(0, NONCE_BYTES), body.subarray(NONCE_BYTES)];
  const fields = { nonce, covered: header, ciphertext, what: "root" };
  const plaintext = unpadContent(await decryptAead(rootKey(session), fields));
  return decodeRoot({ type, links, plaintext });
}

function encodeRoot(session: Session, root: Root): ReturnType<typeof encodeText> {
  const table = new ReferenceTable();
  table.addSession(session.id);
  table.add(root.top);
  const { device, timeMs, host, paths, tags, totals, skipped, level } = root;
  const { entries, files, bytes } = totals;
  const head = {
    ...{ device, time: timeMs, host, paths, tags },
    ...{ entries, files, bytes, skipped, level },
  };
  return encodeText(table, { type: RecordType.ROOT, head, lines: [] });
}

function decodeRoot(content: Parameters<typeof decodeText>[0]): Root {
  const options = { type: RecordType.ROOT, headFields: HEAD_FIELDS };
  const { references, head, lines } = decodeText(content, options);
  if (references.length !== 1 || lines.length !== 0) throw damaged("bad references");
  const { device, time: timeMs, host, paths, tags, skipped, level } = head;
  if (typeof device !== "string" || !/^[0-9a-f]{32}$/.test(device)) throw damaged("bad device");
  if (typeof host !== "string") throw damaged("bad host");
  if (!isTexts(paths) || !isTexts(tags)) throw damaged("bad paths or tags");
  if (!Number.isSafeInteger(timeMs) || !Number.isSafeInteger(skipped)) throw damaged("bad numbers");
  checkLevel(level);
  const numbers = { timeMs: timeMs as number, skipped: skipped as number, level };
  return { device, host, paths, tags, totals: checkTotals(head), ...numbers, top: references[0] };
}

function rootKey(session: Session): Uint8Array {
  return hkdf(session.key, { info: "holdfast/4 root" });
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= LIST_ITEMS_MAX &&
    value.every((item) => typeof item === "string");
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot open root: ${state}`);
}
