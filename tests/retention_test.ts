import assert from "node:assert/strict";
import fc from "fast-check";
import { selectKept } from "../lib/retention.ts";
import { policyOf } from "./journal_fixture.ts";
import { check } from "./property.ts";

const HOUR_MS = 3600 * 1000;
const at = (text: string) => Date.parse(text + "Z");
const TIMES = [
  "2024-12-31T23:00",
  "2025-12-28T10:00", // Sunday
  "2025-12-29T10:00", // Monday
  "2026-01-01T08:10",
  "2026-01-01T08:50",
  "2026-01-01T09:00",
];

function kept(rules: Parameters<typeof policyOf>[0]): string[] {
  const flags = selectKept(TIMES.map(at), policyOf(rules));
  return TIMES.filter((_, i) => flags[i]);
}

Deno.test("selectKept() without a rule keeps everything", () => {
  assert.deepEqual(kept({}), TIMES);
});

Deno.test("selectKept() keeps the newest of each period", () => {
  assert.deepEqual(kept({ last: 2 }), TIMES.slice(3));
  assert.deepEqual(kept({ hourly: 2 }), TIMES.slice(4));
  assert.deepEqual(kept({ daily: 2 }), [TIMES[2], TIMES[5]]);
  assert.deepEqual(kept({ weekly: 2 }), [TIMES[1], TIMES[5]]);
  assert.deepEqual(kept({ monthly: 2 }), [TIMES[2], TIMES[5]]);
  assert.deepEqual(kept({ yearly: 9 }), [TIMES[0], TIMES[2], TIMES[5]]);
  assert.deepEqual(kept({ last: 1, yearly: 2 }), [TIMES[2], TIMES[5]]);
});

Deno.test("selectKept() always keeps the newest, and no rule keeps less than another alone", () => {
  const times = fc.array(fc.nat({ max: 4e12 }), { minLength: 1, maxLength: 60 })
    .map((all) => all.sort((a, b) => a - b));
  check(
    fc.property(times, fc.nat({ max: 5 }), fc.integer({ min: 1, max: 5 }), (times, last, daily) => {
      const both = selectKept(times, policyOf({ last, daily }));
      const one = selectKept(times, policyOf({ daily }));
      assert.ok(both.at(-1));
      one.forEach((isKept, i) => assert.ok(!isKept || both[i]));
      const hours = new Set(
        times.filter((_, i) => both[i]).map((timeMs) => Math.floor(timeMs / HOUR_MS)),
      );
      assert.ok(hours.size <= last + daily);
    }),
  );
});

const RULES = fc.record({
  last: fc.nat({ max: 4 }),
  hourly: fc.nat({ max: 4 }),
  daily: fc.nat({ max: 4 }),
  weekly: fc.nat({ max: 4 }),
  monthly: fc.nat({ max: 4 }),
  yearly: fc.nat({ max: 4 }),
});
/** Steps of an hour or less over a week or two years, so that periods of each kind have several. */
const SPAN_DAYS = fc.constantFrom(7, 2 * 365);
const HISTORY = SPAN_DAYS.chain((days) => timesWithin(days, { stepMs: HOUR_MS / 4, size: 60 }))
  .map((all) => all.map((ms) => at("2025-01-01T00:00") + ms));

/** Times from 0, oldest first. */
function timesWithin(days: number, { stepMs, size }: { stepMs: number; size: number }) {
  return fc.array(fc.nat({ max: days * 24 * HOUR_MS / stepMs }), { maxLength: size, size: "max" })
    .map((all) => all.map((steps) => steps * stepMs).sort((a, b) => a - b));
}

Deno.test("selectKept(): any number of commits in an hour push out no more than one commit", () => {
  const flood = fc.array(fc.nat({ max: HOUR_MS - 1 }), { minLength: 1, maxLength: 40 })
    .map((all) => all.sort((a, b) => a - b));
  check(fc.property(HISTORY, RULES, flood, (history, rules, flood) => {
    const startMs = Math.floor((history.at(-1) ?? at("2025-01-01T00:00")) / HOUR_MS + 1) * HOUR_MS;
    const many = flood.map((ms) => startMs + ms);
    const afterOne = selectKept([...history, many.at(-1)!], policyOf(rules));
    const afterMany = selectKept([...history, ...many], policyOf(rules));
    history.forEach((_, i) => assert.equal(afterMany[i], afterOne[i]));
  }));
});

Deno.test("selectKept(): what stands for a period that is over stays the same one", () => {
  const periods = {
    daily: (time: Date) => time.toISOString().slice(0, 10),
    monthly: (time: Date) => time.toISOString().slice(0, 7),
    yearly: (time: Date) => time.toISOString().slice(0, 4),
  };
  const later = SPAN_DAYS.chain((days) => timesWithin(days, { stepMs: HOUR_MS, size: 10 }));
  check(fc.property(HISTORY, later, fc.integer({ min: 1, max: 5 }), (history, later, count) => {
    const lastMs = history.at(-1) ?? 0;
    const all = [...history, ...later.map((ms) => lastMs + ms)];
    for (const [rule, periodOf] of Object.entries(periods)) {
      const before = selectKept(history, policyOf({ [rule]: count }));
      const after = selectKept(all, policyOf({ [rule]: count }));
      const current = periodOf(new Date(lastMs));
      history.forEach((timeMs, i) => {
        if (periodOf(new Date(timeMs)) === current || !after[i]) return;
        assert.ok(before[i], `${rule}: another one of ${periodOf(new Date(timeMs))} is kept now`);
      });
    }
  }));
});
