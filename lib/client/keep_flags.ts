/** The flags that say which snapshots are kept: of `client forget` and `client policy`. */
import { UsageError } from "../errors.ts";
import { type FlagValues, parseCount, readFlag } from "../flags.ts";
import type { RetentionPolicy } from "../journal_body.ts";

export type KeepRules = Omit<RetentionPolicy, "holdMs">;

const PERIODS = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
const COUNT_MAX = 0xffff;

/** For `parseFlags`. */
export const KEEP_FLAGS = {
  "keep-last": { type: "string" },
  "keep-hourly": { type: "string" },
  "keep-daily": { type: "string" },
  "keep-weekly": { type: "string" },
  "keep-monthly": { type: "string" },
  "keep-yearly": { type: "string" },
} as const;

export const KEEP_HELP =
  `  --keep-last N    keep the newest N; those of one hour count as one, and are all kept
  --keep-hourly N  keep the newest of each of the last N hours that have one; also
  --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N`;

export const NO_RULES: KeepRules = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
};

/** The rules that were given; undefined if there are none. @throws {UsageError} */
export function readKeepRules(values: FlagValues): KeepRules | undefined {
  const rules = { ...NO_RULES };
  for (const period of PERIODS) {
    rules[period] = readFlag(values, { flag: `keep-${period}`, parse: parseKeep, otherwise: 0 });
  }
  return hasRules(rules) ? rules : undefined;
}

export function hasRules(rules: KeepRules): boolean {
  return PERIODS.some((period) => rules[period] > 0);
}

/** Rules for people: `last 3, daily 7`. */
export function showRules(rules: KeepRules): string {
  const parts = PERIODS.filter((period) => rules[period] > 0).map((period) =>
    `${period} ${rules[period]}`
  );
  return parts.length === 0 ? "everything" : parts.join(", ");
}

function parseKeep(text: string): number {
  const count = parseCount(text);
  if (count > COUNT_MAX) throw new UsageError(`${COUNT_MAX} is the most`);
  return count;
}
