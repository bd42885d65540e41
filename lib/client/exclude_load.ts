/** Loads what leaves paths out, if any are to be: that takes as long as all that a walk needs. */
import type { Exclude, ExcludeRules } from "./exclude.ts";

/** @throws {UsageError} if a glob makes no sense */
export async function loadExclude(rules: ExcludeRules): Promise<Exclude> {
  if (rules.globs.length === 0 && rules.patternTexts.length === 0) return () => false;
  const { makeExclude } = await import("./exclude.ts");
  return makeExclude(rules);
}
