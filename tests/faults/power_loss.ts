/**
 * Class B. A server's life is noted once, call by call, from its first start on: a vault is founded, backed up, collected,
 * its keys are changed. Then the power is cut at random moments of it, with what was not flushed lost, kept, torn or in
 * another order; the server is started on what is left, and must have all that was acknowledged by then.
 */
import assert from "node:assert/strict";
import { VaultClientSession } from "../../lib/client/session_v4.ts";
import { VAULT } from "../../lib/limits.ts";
import { writeCrashState } from "./crash_state.ts";
import { Disk, type DiskChange, type DiskOptions } from "./disk.ts";
import type { BegunClass, FaultClass, Faults } from "./fault_class.ts";
import type { Random } from "./random.ts";
import { backUp, restoreAll } from "./site.ts";
import { removeTree, Stage, type StageState } from "./stage.ts";

const DATABASE_NAME = "holdfast.db";

export const POWER_LOSS: FaultClass = {
  letter: "B",
  title: "power loss",
  shortCount: 12,
  count: 300,
  begin: (folder, random) => PowerLoss.begin(folder, { random }),
};

/** A part of what was noted. */
interface Step {
  name: string;
  /** Numbers of changes: those before `start` were made before it, and it was over before `end`. */
  start: number;
  end: number;
  /** What was before it was made before the server's answer came. */
  answered: number;
  /** The device's profile, and what the server owes it. */
  before: StageState | undefined;
  after: StageState;
}

export class PowerLoss implements BegunClass {
  readonly #stage: Stage;
  readonly #steps: Step[] = [];
  #changes: readonly DiskChange[] = [];
  readonly faults: Faults;

  private constructor(stage: Stage) {
    this.#stage = stage;
    this.faults = {};
  }

  static async begin(
    folder: string,
    { random, ignoresSync }: { random: Random } & Pick<DiskOptions, "ignoresSync">,
  ): Promise<PowerLoss> {
    let disk: Disk | undefined;
    try {
      const stage = await Stage.create(folder, {
        random,
        onServer: ({ dataPath }) => {
          const options = { folder: dataPath, databaseName: DATABASE_NAME };
          disk = new Disk({ ...options, ...(ignoresSync === undefined ? {} : { ignoresSync }) });
        },
      });
      const power = new PowerLoss(stage);
      await power.#live(disk!);
      return power;
    } finally {
      disk?.[Symbol.dispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stage.stopServer();
  }

  /** What is noted. */
  async #live(disk: Disk): Promise<void> {
    const stage = this.#stage;
    const { oracle } = stage;
    await this.#note(disk, "founding", () => Promise.resolve());
    for (let i = 0; i < 2; i++) await this.#note(disk, "backup", () => backUp(stage));
    await this.#note(disk, "forget", async () => {
      const [snapshot] = oracle.inForce;
      oracle.forget(snapshot, stage.nowMs + VAULT.holdMs);
      assert.equal((await stage.client("forget", snapshot)).code, 0);
    });
    await this.#note(disk, "restart", () =>
      stage.restartServer(() => {
        stage.clock.aheadMs += VAULT.holdMs + 60_000;
        oracle.owed(stage.nowMs);
      }));
    await this.#note(disk, "backup", () => backUp(stage));
    await this.#note(disk, "collection", async () => {
      const ran = await stage.server("gc");
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stdout, /1 snapshots dropped, [1-9]\d* records deleted/);
    });
    await this.#note(disk, "keys", async () => {
      // The device has kept the new keys, durably, before it tells the server of them.
      disk.beforeCall = ({ kind, path }) => {
        if (kind !== "write" || !path.startsWith("journal/")) return;
        disk.beforeCall = () => {};
        this.#noteStep(disk, "keys");
      };
      assert.equal((await stage.client("keys", "rotate")).code, 0);
    });
    await this.#note(disk, "backup", () => backUp(stage));
    this.#changes = disk.changes;
    await stage.stopServer();
  }

  async #note(disk: Disk, name: string, work: () => Promise<unknown>): Promise<void> {
    const { prototype } = VaultClientSession;
    const { commit } = prototype;
    let answered: number | undefined;
    prototype.commit = async function (statement) {
      const result = await commit.call(this, statement);
      answered = disk.mark();
      return result;
    };
    try {
      await work();
    } finally {
      prototype.commit = commit;
    }
    this.#noteStep(disk, name, answered);
  }

  #noteStep(disk: Disk, name: string, answered?: number): void {
    const last = this.#steps.at(-1);
    const end = disk.mark();
    const after = this.#stage.save("profile");
    const before = last?.after;
    this.#steps.push({
      name,
      start: last?.end ?? 0,
      end,
      answered: answered ?? end,
      before,
      after,
    });
    this.faults[name] = (random) => this.#cut(name, random);
  }

  async #cut(name: string, random: Random): Promise<void> {
    const step = random.pick(this.#steps.filter((step) => step.name === name));
    const { start, end, answered } = step;
    // Often just behind the answer: what it is for is then in no later flush.
    const cut = random.below(3) === 0 ? answered : start + 1 + random.below(end - start);
    const stage = this.#stage;
    await stage.stopServer();
    const state = cut >= answered ? step.after : step.before;
    if (state !== undefined) await stage.load(state);
    await removeTree(stage.dataPath);
    const changes = this.#changes.slice(0, cut);
    writeCrashState(stage.dataPath, { changes, databaseName: DATABASE_NAME, random });
    if (random.below(4) === 0) {
      const ran = await stage.server("rebuild");
      assert.ok(ran.code === 0 || ran.code === 5, ran.stderr); // what was cut short is named
    }
    await stage.startServer();
    if (state === undefined) return; // nothing was acknowledged yet
    await restoreAll(stage);
    if (random.below(3) > 0) return;
    await backUp(stage);
    await restoreAll(stage);
  }
}
