/** The links of a record, for walks over what records reach. */
import { decodeRecord, RECORD_ID_BYTES, RECORD_PREFIX_BYTES } from "../record.ts";

/** The ids that a record links, one behind the other: a view of it. */
export function linkBytes(record: Uint8Array): Uint8Array {
  return decodeRecord(record).header.subarray(RECORD_PREFIX_BYTES);
}

/** A copy of the links alone, so that the record itself is not held. */
export function copyLinks(record: Uint8Array): Uint8Array[] {
  const count = decodeRecord(record).links.length;
  const bytes = record.slice(RECORD_PREFIX_BYTES, RECORD_PREFIX_BYTES + count * RECORD_ID_BYTES);
  return Array.from(
    { length: count },
    (_, i) => bytes.subarray(i * RECORD_ID_BYTES, (i + 1) * RECORD_ID_BYTES),
  );
}
