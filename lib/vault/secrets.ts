/**
 * Keys that follow from a vault's write secret (docs/format.md, "Write secret"). Whoever has it can
 * make records that meet those of the other devices, and can open none by it.
 */
import { ByteReader, ByteWriter } from "../bytes.ts";
import { LABEL_BYTES, SECRET_CHECK_BYTES } from "../journal_body.ts";
import { hkdf, hmac } from "../kdf.ts";

export const WRITE_SECRET_BYTES = 32;
const TABLE_ENTRIES = 256;

/** All that a write secret gives. */
export interface WriteKeys {
  /** Key of the HMAC that gives each record its key. 32 bytes. */
  recordKey: Uint8Array;
  /** 256 numbers of 32 bits: the gear table of the chunker. */
  chunkTable: Uint32Array;
  /** 256 numbers of 32 bits: where segments and records of small files end. */
  pathTable: Uint32Array;
  /** Key of names of devices in the journal. 32 bytes. */
  nameKey: Uint8Array;
  /** What the journal says of this secret. 16 bytes. */
  secretCheck: Uint8Array;
}

export function deriveWriteKeys(writeSecret: Uint8Array): WriteKeys {
  if (writeSecret.length !== WRITE_SECRET_BYTES) throw new RangeError("Not a write secret");
  return {
    recordKey: hkdf(writeSecret, { info: "holdfast/4 record" }),
    chunkTable: deriveTable(writeSecret, "holdfast/4 chunk"),
    pathTable: deriveTable(writeSecret, "holdfast/4 path"),
    nameKey: hkdf(writeSecret, { info: "holdfast/4 name" }),
    secretCheck: hkdf(writeSecret, { info: "holdfast/4 check", size: SECRET_CHECK_BYTES }),
  };
}

/** Key of labels. From the write secret of epoch 1 in every epoch, so that labels stay the same. */
export function deriveLabelKey(firstWriteSecret: Uint8Array): Uint8Array<ArrayBuffer> {
  return hkdf(firstWriteSecret, { info: "holdfast/4 label" });
}

/** Label of a tag, as commits carry it. 16 bytes. */
export function tagLabel(labelKey: Uint8Array, tag: string): Uint8Array {
  return makeLabel(labelKey, "tag", [tag]);
}

/** Label of a set of paths; they are sorted as backups sort them. 16 bytes. */
export function setLabel(labelKey: Uint8Array, paths: string[]): Uint8Array {
  return makeLabel(labelKey, "set", paths);
}

function makeLabel(labelKey: Uint8Array, kind: string, texts: string[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  for (const text of [kind, ...texts]) {
    const bytes = encoder.encode(text);
    parts.push(new ByteWriter(4).u32(bytes.length).done(), bytes);
  }
  return hmac(labelKey, ...parts).slice(0, LABEL_BYTES);
}

function deriveTable(writeSecret: Uint8Array, info: string): Uint32Array {
  const reader = new ByteReader(hkdf(writeSecret, { info, size: TABLE_ENTRIES * 4 }));
  return Uint32Array.from({ length: TABLE_ENTRIES }, () => reader.u32());
}
