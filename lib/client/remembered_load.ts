/** Keeps the newest records of a snapshot's tree: whoever goes to many paths in order opens the same ones again and again. */
import { READER } from "../limits.ts";
import type { RecordContent } from "../vault/seal.ts";
import type { Load } from "../vault/tree_reader.ts";

/** Loads like `load`, and asks again only for what is not among the newest. A failure is not kept. */
export function rememberLoads(load: Load): Load {
  /** By id, the one used last at the end. */
  const kept = new Map<string, Promise<RecordContent>>();
  return (reference) => {
    const name = reference.id.toHex();
    const loading = kept.get(name) ?? load(reference);
    kept.delete(name);
    kept.set(name, loading);
    loading.catch(() => kept.delete(name));
    if (kept.size > READER.rememberedMax) kept.delete(kept.keys().next().value!);
    return loading;
  };
}
