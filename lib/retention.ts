/**
 * Which snapshots a policy keeps (docs/format.md, "Policy"). The server drops by this rule and every
 * client checks each drop with the same function, so it depends on nothing but its arguments. UTC.
 */
import type { RetentionPolicy } from "./journal_body.ts";
import type { SnapshotRow } from "./journal_snapshots.ts";

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
/** 1 January 1970 was a Thursday; weeks begin on Monday. */
const MONDAY_SHIFT_DAYS = 3;

/**
 * Picks what is kept of one set's snapshots: for each rule the newest of each period, for as many
 * periods as the rule says; for `last`, all of each hour. Without any rule everything is kept.
 *
 * So that a stolen device cannot push anything out by a flood of commits, nothing counts more often
 * than once an hour; and a period that is over can get no other newest one, as times never go back.
 *
 * @param timesMs times of the snapshots, oldest first
 * @returns for each snapshot whether it is kept
 */
export function selectKept(timesMs: number[], policy: RetentionPolicy): boolean[] {
  const rules = activeRules(policy);
  if (rules.length === 0) return timesMs.map(() => true);
  const kept: boolean[] = new Array(timesMs.length).fill(false);
  for (const { count, period, keepsAll } of rules) {
    let periods = 0;
    let newer: number | undefined;
    for (let i = timesMs.length - 1; i >= 0; i--) {
      const current = period(timesMs[i]);
      const isNewest = current !== newer;
      if (isNewest && ++periods > count) break;
      newer = current;
      if (isNewest || keepsAll) kept[i] = true;
    }
  }
  return kept;
}

/** Where a policy counts by itself: the snapshots of one set of paths of one device. */
export function groupBySet<T extends Pick<SnapshotRow, "device" | "setLabel">>(
  snapshots: Iterable<T>,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const snapshot of snapshots) {
    const name = setOf(snapshot);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [snapshot]);
    else group.push(snapshot);
  }
  return groups;
}

/** Name of the group that a snapshot is in. */
export function setOf({ device, setLabel }: Pick<SnapshotRow, "device" | "setLabel">): string {
  return `${device} ${setLabel.toHex()}`;
}

interface Rule {
  count: number;
  /** Number of the period that a time is in. */
  period: (timeMs: number) => number;
  /** Keeps every snapshot of a period, not only the newest. */
  keepsAll?: true;
}

function activeRules(policy: RetentionPolicy): Rule[] {
  const rules: Rule[] = [
    { count: policy.last, period: hourOf, keepsAll: true },
    { count: policy.hourly, period: hourOf },
    { count: policy.daily, period: (timeMs) => Math.floor(timeMs / DAY_MS) },
    { count: policy.weekly, period: weekOf },
    { count: policy.monthly, period: monthOf },
    { count: policy.yearly, period: (timeMs) => new Date(timeMs).getUTCFullYear() },
  ];
  return rules.filter((rule) => rule.count > 0);
}

function hourOf(timeMs: number): number {
  return Math.floor(timeMs / HOUR_MS);
}

function weekOf(timeMs: number): number {
  return Math.floor((Math.floor(timeMs / DAY_MS) + MONDAY_SHIFT_DAYS) / 7);
}

function monthOf(timeMs: number): number {
  const date = new Date(timeMs);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
