/**
 * Class Y. No fault but time: five devices back up a changing tree every day, by a simulated clock, and the server drops
 * by a policy and collects every day, for two years. What is in force is compared with a model of the policy, and all of
 * it is restored at the end.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { NO_RULES } from "../../lib/client/keep_flags.ts";
import { type ModelCommit, modelKept, RULES } from "../retention_model.ts";
import type { BegunClass, FaultClass } from "./fault_class.ts";
import { Oracle } from "./oracle.ts";
import type { Random } from "./random.ts";
import { acknowledge, LossError, restoreAll, type Site } from "./site.ts";
import { Stage } from "./stage.ts";

const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** A little more than a day, so that the daily collection is always due. */
const STEP_MS = DAY_MS + MINUTE_MS;
/** A year with a leap day, later than any day on which this is run; so a seed always has the same calendar. */
const YEAR = 2048;
const START_HOUR = 2;
const DEVICES = ["profile", "second", "third", "fourth", "fifth"];
const RULES_KEPT = { ...NO_RULES, last: 2, daily: 5, weekly: 4, monthly: 12, yearly: 2 };
const HOLD_DAYS = 2;
/** How long the hold of a new vault goes on after a policy that shortens it. */
const FIRST_HOLD_DAYS = 7;
const LOOK_EVERY_DAYS = 30;
const COLLECTED_MS_MAX = 60_000;

export const TWO_YEARS: FaultClass = {
  letter: "Y",
  title: "two years of daily backups, days",
  shortCount: 14,
  count: 730,
  begin: (folder, random) => TwoYears.begin(folder, { random, devices: DEVICES.length }),
};

/** A device, what it backs up, and what it has committed. */
interface Machine {
  site: Site;
  profile: string;
  commits: ModelCommit[];
}

export class TwoYears implements BegunClass {
  readonly faults = { day: (random: Random) => this.#day(random) };
  readonly #stage: Stage;
  readonly #machines: Machine[];
  /** That have begun. */
  #days = 0;
  #policyMs = 0;
  #collectedMs = 0;
  #dropped = 0;
  #deleted = 0;

  private constructor(stage: Stage, machines: Machine[]) {
    this.#stage = stage;
    this.#machines = machines;
  }

  static async begin(
    folder: string,
    { random, devices }: { random: Random; devices: number },
  ): Promise<TwoYears> {
    const stage = await Stage.create(folder, { random });
    try {
      const names = DEVICES.slice(0, devices);
      for (const name of names.slice(1)) await stage.join(name, "writer");
      const machines = names.map((name) => machineOf(stage, { name, random }));
      const years = new TwoYears(stage, machines);
      await years.#setPolicy(random);
      return years;
    } catch (error) {
      await stage.stopServer();
      throw error;
    }
  }

  /** Waits for the last drops, and looks at everything. */
  async finish(): Promise<void> {
    this.#pass();
    await this.#collected();
    await this.#compare();
    for (const { site, commits } of this.#machines) {
      const kept = this.#inForce(commits);
      for (const { name } of commits) {
        if (!kept.has(name)) site.oracle.forget(name, 0);
      }
      assert.equal(await restoreAll(site), kept.size);
    }
    assert.ok(this.#dropped === 0 || this.#deleted > 0, "no space was given back");
    const check = await this.#stage.client("check", "--read-data");
    assert.equal(check.code, 0, check.stderr);
    const scrub = await this.#stage.server("scrub");
    assert.equal(scrub.code, 0, scrub.stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stage.stopServer();
  }

  async #setPolicy(random: Random): Promise<void> {
    const { clock } = this.#stage;
    clock.pass(Date.UTC(YEAR, 0, 1 + random.below(366), START_HOUR) - clock.wall());
    const rules = RULES.filter((rule) => RULES_KEPT[rule] > 0)
      .flatMap((rule) => [`--keep-${rule}`, String(RULES_KEPT[rule])]);
    const { code, stderr } = await this.#stage.client(
      "policy",
      ...rules,
      "--hold",
      `${HOLD_DAYS}d`,
    );
    assert.equal(code, 0, stderr);
    this.#policyMs = clock.wall();
  }

  /** A device may be off, or make several backups. The server collects meanwhile. */
  async #day(random: Random): Promise<void> {
    this.#pass();
    for (const machine of this.#machines) {
      const backups = random.pick([0, 1, 1, 1, 1, 1, 1, 3]);
      for (let i = 0; i < backups; i++) await this.#backUp(machine);
    }
    await this.#collected();
    if (this.#days % LOOK_EVERY_DAYS === 0) await this.#compare();
  }

  #pass(): void {
    this.#stage.logged = "";
    const nextMs = this.#policyMs + ++this.#days * STEP_MS;
    this.#stage.clock.pass(nextMs - this.#stage.nowMs);
    this.#collectedMs = nextMs;
  }

  async #backUp({ site, profile, commits }: Machine): Promise<void> {
    const timeMs = this.#collectedMs; // its hour and day; the next one is far
    site.oracle.change();
    const manifest = site.oracle.look();
    const ran = await this.#stage.client("backup", site.source, "--json", "--profile", profile);
    assert.equal(ran.code, 0, ran.stderr);
    commits.push({ name: acknowledge(site.oracle, ran, manifest), timeMs });
  }

  /** The server has collected by itself since the day began, and nothing was wrong. */
  async #collected(): Promise<void> {
    const giveUpMs = performance.now() + COLLECTED_MS_MAX;
    while (!this.#stage.logged.includes("vault collected")) {
      assert.ok(performance.now() < giveUpMs, `no collection: ${this.#stage.logged}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { logged } = this.#stage;
    assert.doesNotMatch(logged, /failed|clock was set|stopped=|blocked=/);
    for (const [, count] of logged.matchAll(/ dropped=(\d+)/g)) this.#dropped += Number(count);
    for (const [, count] of logged.matchAll(/ deleted=(\d+)/g)) this.#deleted += Number(count);
    assert.equal(this.#dropped, this.#countGivenUp(), `snapshots dropped by day ${this.#days}`);
  }

  /** What the vault says is in force is what should be, of each device. */
  async #compare(): Promise<void> {
    const expected = new Set<string>();
    for (const { commits } of this.#machines) {
      for (const name of this.#inForce(commits)) expected.add(name);
    }
    const { code, stdout, stderr } = await this.#stage.client("snapshots", "--all", "--json");
    assert.equal(code, 0, stderr);
    const there = new Set(stdout.trim().split("\n").map((line) => JSON.parse(line).id as string));
    const gone = expected.difference(there);
    if (gone.size > 0) throw new LossError(`${gone.size} snapshots are gone`, gone.size);
    assert.deepEqual([...there.difference(expected)], [], "not dropped");
  }

  #countGivenUp(): number {
    return this.#machines.reduce(
      (sum, { commits }) => sum + commits.length - this.#inForce(commits).size,
      0,
    );
  }

  /** What the policy leaves when the server has collected today. */
  #inForce(commits: ModelCommit[]): Set<string> {
    const isFirst = this.#collectedMs < this.#policyMs + FIRST_HOLD_DAYS * DAY_MS;
    const asOfMs = this.#collectedMs - (isFirst ? FIRST_HOLD_DAYS : HOLD_DAYS) * DAY_MS;
    if (asOfMs < this.#policyMs) return new Set(commits.map(({ name }) => name));
    const kept = modelKept(commits.filter(({ timeMs }) => timeMs <= asOfMs), RULES_KEPT);
    for (const { name, timeMs } of commits) if (timeMs > asOfMs) kept.add(name);
    return kept;
  }
}

/** Its tree is its own. Snapshots are restored by the owner, as writers cannot. */
function machineOf(stage: Stage, { name, random }: { name: string; random: Random }): Machine {
  const source = join(stage.folder, `tree-${name}`);
  Deno.mkdirSync(source);
  const site: Site = {
    ...{ folder: stage.folder, source, oracle: new Oracle(source, random) },
    get nowMs() {
      return stage.nowMs;
    },
    client: (...args) => stage.client(...args),
  };
  return { site, profile: join(stage.folder, name), commits: [] };
}
