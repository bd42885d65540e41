import assert from "node:assert/strict";
import fc from "fast-check";
import { selectKept } from "../lib/retention.ts";
import { policyOf } from "./journal_fixture.ts";
import { check } from "./property.ts";

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
  assert.deepEqual(kept({ last: 2 }), TIMES.slice(4));
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
      assert.ok(both.filter(Boolean).length <= last + daily);
    }),
  );
});
