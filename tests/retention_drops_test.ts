/** What the journal lets the server drop by a policy, over a vault's life, compared with a model. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EventKind } from "../lib/journal.ts";
import { encodePolicy, encodeRoots } from "../lib/journal_body.ts";
import { Role } from "../lib/identity.ts";
import { VAULT } from "../lib/limits.ts";
import { DAY_MS, makeDevice, policyOf, TestVault } from "./journal_fixture.ts";
import { checkAsync } from "./property.ts";
import { type ModelCommit, modelKept, standFor } from "./retention_model.ts";

const HOUR_MS = 3600 * 1000;
/** That of a new vault, so it counts from the beginning. */
const HOLD_MS = VAULT.holdMs;
const DEVICES = 2;
const SETS = [new Uint8Array(16), new Uint8Array(16).fill(1)];

type ValueOf<A> = A extends fc.Arbitrary<infer T> ? T : never;

const COUNT = fc.nat({ max: 3 });
const RULES = fc.record({
  ...{ last: COUNT, hourly: COUNT, daily: COUNT, weekly: COUNT, monthly: COUNT, yearly: COUNT },
});
const STEP = fc.record({
  afterMs: fc.constantFrom(60_000, HOUR_MS / 2, HOUR_MS, 5 * HOUR_MS, DAY_MS, 9 * DAY_MS),
  device: fc.nat({ max: DEVICES - 1 }),
  set: fc.nat({ max: SETS.length - 1 }),
  isCollected: fc.boolean(),
});
const FLOOD = fc.record({
  device: fc.nat({ max: DEVICES - 1 }),
  afterMs: fc.constantFrom(60_000, HOUR_MS, DAY_MS, 8 * DAY_MS),
  everyMs: fc.constantFrom(1000, 10 * 60_000, HOUR_MS),
  count: fc.integer({ min: 1, max: 40 }),
});

/** A vault, and what was committed to it, by device and set. */
class Life {
  readonly vault: TestVault;
  readonly devices = [makeDevice(), makeDevice()];
  readonly commits = new Map<string, ModelCommit[]>();
  readonly dropped = new Set<string>();

  private constructor(vault: TestVault) {
    this.vault = vault;
  }

  static async begin(rules: Parameters<typeof policyOf>[0]): Promise<Life> {
    const life = new Life(await TestVault.create());
    const { vault } = life;
    for (const device of life.devices) await vault.addDevice(device, Role.WRITER);
    const policy = policyOf({ ...rules, holdMs: HOLD_MS });
    await vault.add(vault.owner, EventKind.POLICY, encodePolicy(policy));
    return life;
  }

  async commit(device: number, set: number): Promise<void> {
    const { vault, commits } = this;
    const timeMs = vault.nowMs;
    const root = await vault.commit(this.devices[device], SETS[set]);
    const key = `${device} ${set}`;
    commits.set(key, [...commits.get(key) ?? [], { name: root.toHex(), timeMs }]);
  }

  /** The server drops all that it may drop now. */
  collect(): void {
    const { vault, dropped } = this;
    const roots = [...vault.state.droppable(vault.nowMs)];
    for (const root of roots) dropped.add(root.toHex());
    if (roots.length > 0) vault.apply(vault.dropStatement(encodeRoots(roots)));
  }
}

Deno.test("a flood of commits drops nothing that stands for a time that is over, of any device", async () => {
  await checkAsync(
    fc.asyncProperty(RULES, fc.array(STEP, { maxLength: 25, size: "max" }), FLOOD, flooded),
    150,
  );
});

async function flooded(
  rules: ValueOf<typeof RULES>,
  steps: ValueOf<typeof STEP>[],
  flood: ValueOf<typeof FLOOD>,
): Promise<void> {
  const life = await Life.begin(rules);
  const { vault, commits, dropped } = life;
  for (const { afterMs, device, set, isCollected } of steps) {
    vault.nowMs += afterMs;
    await life.commit(device, set);
    if (isCollected) life.collect();
  }
  vault.nowMs += flood.afterMs;
  const floodMs = vault.nowMs;
  const before = new Map(commits);
  for (let i = 0; i < flood.count; i++) {
    vault.nowMs += flood.everyMs;
    await life.commit(flood.device, 0);
  }
  // Some go at once, and all that may when the flood itself counts.
  life.collect();
  vault.nowMs += HOLD_MS;
  life.collect();
  const key = `${flood.device} 0`;
  for (const [set, history] of before) {
    // Its own sets grow older as its later days, weeks, ... begin; others' do not.
    const all = set === key ? commits.get(set)! : history;
    const stands = [...standFor(all, { rules, overMs: floodMs })];
    const earlier = new Set(history.map(({ name }) => name));
    for (const name of stands.filter((name) => earlier.has(name))) {
      assert.ok(!dropped.has(name), `what stands for a time that is over was dropped (${set})`);
    }
  }
  // When it was dropped makes no difference: what is left is what the policy keeps of all there ever was.
  for (const all of commits.values()) {
    const kept = modelKept(all, rules);
    for (const { name } of all) assert.equal(dropped.has(name), !kept.has(name));
  }
}
