/**
 * Records of text (docs/format.md, "Records of text"): lines of JSON, each ended by a line feed. The first
 * has the references; each other line is one item. Segments, lists and index records are such records.
 */
import { DamagedError } from "../errors.ts";
import type { RecordType } from "../record.ts";
import { decodeReferences, type ReferenceTable, type TableLine } from "./reference_table.ts";
import type { RecordContent } from "./seal.ts";
import type { Reference } from "./session.ts";

const TABLE_FIELDS = ["version", "sessions", "references"];

/** A record of text taken apart. */
export interface TextRecord {
  references: Reference[];
  /** Fields of the first line beside the references. */
  head: Record<string, unknown>;
  /** JSON of the items. */
  lines: string[];
}

/** The contents of a record: the table's line with the fields of `head`, then the lines. */
export function encodeText(
  table: ReferenceTable,
  { type, head, lines }: { type: RecordType; head: Record<string, unknown>; lines: string[] },
): RecordContent {
  const first = JSON.stringify({ ...table.line(), ...head });
  const plaintext = new TextEncoder().encode([first, ...lines, ""].join("\n"));
  return { type, links: table.links(), plaintext };
}

/**
 * @param headFields names of the fields that the first line must have beside the references
 * @throws {DamagedError} if it is another type, or not such text
 */
export function decodeText(
  content: RecordContent,
  { type, headFields }: { type: RecordType; headFields: string[] },
): TextRecord {
  if (content.type !== type) throw damaged(`it is of type ${content.type}, not ${type}`);
  const lines = decodeUtf8(content.plaintext).split("\n");
  if (lines.pop() !== "") throw damaged("no line feed at the end");
  const first = parseObject(lines.shift() ?? "", [...TABLE_FIELDS, ...headFields]);
  const references = decodeReferences(first as unknown as TableLine, content.links);
  return { references, head: first, lines };
}

/**
 * The object that a line of JSON holds.
 *
 * @param required names of its fields
 * @param optional names of fields that it may have as well
 * @throws {DamagedError} if a field is missing or unknown
 */
export function parseObject(
  line: string,
  required: string[],
  optional: string[] = [],
): Record<string, unknown> {
  const object = parseJson(line);
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    throw damaged("a line is not an object");
  }
  for (const name of required) if (!Object.hasOwn(object, name)) throw damaged(`no ${name}`);
  let known = required.length;
  for (const name of optional) if (Object.hasOwn(object, name)) known++;
  if (Object.keys(object).length !== known) throw damaged("an unknown field");
  return object as Record<string, unknown>;
}

/** The value of a line of JSON. */
export function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw damaged("a line is not JSON", cause);
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw damaged("not UTF-8", cause);
  }
}

function damaged(state: string, cause?: unknown): DamagedError {
  return new DamagedError(`Cannot decode record of text: ${state}`, { cause });
}
