/**
 * Marks what snapshots reach (docs/store.md, "Collection"): one bit for each row. Depth first, without recursion, each
 * record with links read once.
 */
import type { RecordDatabase } from "../db_records.ts";
import { STORE } from "../limits.ts";
import { RECORD_ID_BYTES, RecordType } from "../record.ts";
import { BitSet } from "./bit_set.ts";
import { copyLinks } from "./record_links.ts";
import type { RecordReader } from "./record_reader.ts";
import type { Throttle } from "./throttle.ts";

export interface MarkingOptions {
  vaultNumber: number;
  records: RecordDatabase;
  reader: RecordReader;
  throttle: Throttle;
}

export interface Marks {
  reached: BitSet;
  /** Records whose links could not be read: nobody knows what lies below them. */
  unknown: number;
}

/**
 * @param roots ids of roots, one behind the other
 * @param last no row that is asked for later has a larger number
 */
export async function markReached(
  roots: Uint8Array,
  { last, ...options }: MarkingOptions & { last: number },
): Promise<Marks> {
  const marks: Marks = { reached: new BitSet(last), unknown: 0 };
  for (let at = 0; at < roots.length; at += RECORD_ID_BYTES) {
    await markBelow(roots.subarray(at, at + RECORD_ID_BYTES), { ...options, marks, last });
  }
  return marks;
}

async function markBelow(
  root: Uint8Array,
  options: MarkingOptions & { marks: Marks; last: number },
): Promise<void> {
  const stack: { links: Uint8Array[]; next: number }[] = [{ links: [root], next: 0 }];
  while (stack.length > 0) {
    const step = stack[stack.length - 1];
    if (step.next === step.links.length) {
      stack.pop();
      continue;
    }
    const links = await visit(step.links[step.next++], options);
    await options.throttle.pause();
    if (links === undefined) continue;
    if (stack.length > STORE.linkDepthMax) options.marks.unknown++; // no commit lets it in
    else stack.push({ links, next: 0 });
  }
}

/** Marks a record. Gives its links when these are to be followed. */
async function visit(
  id: Uint8Array,
  { vaultNumber, records, reader, marks, last }: MarkingOptions & { marks: Marks; last: number },
): Promise<Uint8Array[] | undefined> {
  const row = await records.findRecord(vaultNumber, id);
  if (row === undefined) {
    marks.unknown++; // it may be one with links
    return undefined;
  }
  const isOld = row.number <= last;
  if (isOld && marks.reached.has(row.number)) return undefined;
  if (isOld) marks.reached.add(row.number);
  if (row.type === RecordType.DATA || row.type === RecordType.SESSION) return undefined;
  const record = row.damaged ? undefined : await reader.read(id, row);
  if (record === undefined) {
    marks.unknown++;
    return undefined;
  }
  return copyLinks(record);
}
