/** What a policy keeps, said once more and in another way, for tests to compare with. */
import type { KeepRules } from "../lib/client/keep_flags.ts";

/** One commit of one set of paths of one device. */
export interface ModelCommit {
  name: string;
  /** By the server's clock. */
  timeMs: number;
}

type RuleName = keyof KeepRules;

const BUCKETS: Record<RuleName, (timeMs: number) => string> = {
  last: (timeMs) => iso(timeMs).slice(0, 13),
  hourly: (timeMs) => iso(timeMs).slice(0, 13),
  daily: (timeMs) => iso(timeMs).slice(0, 10),
  weekly: mondayBefore,
  monthly: (timeMs) => iso(timeMs).slice(0, 7),
  yearly: (timeMs) => iso(timeMs).slice(0, 4),
};

export const RULES = Object.keys(BUCKETS) as RuleName[];

/** Names of the commits that are kept. @param commits oldest first */
export function modelKept(commits: ModelCommit[], rules: KeepRules): Set<string> {
  if (RULES.every((rule) => rules[rule] === 0)) return new Set(commits.map(({ name }) => name));
  const kept = new Set<string>();
  for (const rule of RULES) {
    for (const bucket of newestBuckets(commits, { rule, count: rules[rule] })) {
      for (const { name } of rule === "last" ? bucket : bucket.slice(-1)) kept.add(name);
    }
  }
  return kept;
}

/**
 * Those that stand for a bucket that is over at a time, by what was committed before it alone, as long as fewer than
 * the rule's count of buckets are newer, whoever has made those.
 */
export function standFor(
  commits: ModelCommit[],
  { rules, overMs }: { rules: KeepRules; overMs: number },
): Set<string> {
  const names = new Set<string>();
  for (const rule of RULES) {
    const isOver = ({ timeMs }: ModelCommit) => BUCKETS[rule](timeMs) < BUCKETS[rule](overMs);
    for (const bucket of newestBuckets(commits, { rule, count: rules[rule] })) {
      if (bucket.every(isOver)) names.add(bucket.at(-1)!.name);
    }
  }
  return names;
}

function newestBuckets(
  commits: ModelCommit[],
  { rule, count }: { rule: RuleName; count: number },
): ModelCommit[][] {
  const buckets = Object.groupBy(commits, ({ timeMs }) => BUCKETS[rule](timeMs));
  const names = Object.keys(buckets).sort();
  return names.slice(Math.max(0, names.length - count)).map((name) => buckets[name]!);
}

function mondayBefore(timeMs: number): string {
  const date = new Date(timeMs);
  date.setUTCDate(date.getUTCDate() - (date.getUTCDay() + 6) % 7);
  return date.toISOString().slice(0, 10);
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
