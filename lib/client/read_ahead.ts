/**
 * Reads index records' contents ahead: whoever walks a snapshot asks for its segments one after another, and would wait
 * for the network at each.
 */
import { READER } from "../limits.ts";
import { RecordType } from "../record.ts";
import type { RecordContent } from "../vault/seal.ts";
import type { Reference } from "../vault/session.ts";
import { decodeText } from "../vault/text_record.ts";
import type { Load } from "../vault/tree_reader.ts";

/** Loads like `load`, and begins with what an index record names next before it is asked for. */
export function readAhead(load: Load): Load {
  const started = new Map<string, Promise<RecordContent>>();
  const next = new Map<string, Reference[]>();

  function start(reference: Reference): Promise<RecordContent> {
    const loading = load(reference);
    loading.catch(() => {}); // told when it is asked for, if it ever is
    started.set(reference.id.toHex(), loading);
    if (started.size > READER.aheadMax) started.delete(started.keys().next().value!);
    return loading;
  }

  return async (reference) => {
    const name = reference.id.toHex();
    const loading = started.get(name) ?? load(reference);
    started.delete(name);
    for (const following of next.get(name) ?? []) {
      if (!started.has(following.id.toHex())) start(following);
    }
    next.delete(name);
    const content = await loading;
    if (content.type === RecordType.INDEX) {
      next.clear(); // only the newest index record is being walked
      const { references } = decodeText(content, { type: content.type, headFields: ["level"] });
      references.forEach((item, i) => {
        next.set(item.id.toHex(), references.slice(i + 1, i + 1 + READER.aheadMax / 2));
      });
    }
    return content;
  };
}
