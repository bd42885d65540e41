/**
 * Kills client or server at random moments of a backup, a forget, a collection, a scrub, a rebuild; recovers as the docs
 * say; and then wants every acknowledged snapshot back, exactly.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { VAULT } from "../../lib/limits.ts";
import { Oracle } from "./oracle.ts";
import { Random } from "./random.ts";
import { type Ran, Rig, type Running } from "./rig.ts";

const DAY_MS = 24 * 3600 * 1000;
const WORKS = ["backup", "forget", "gc", "scrub", "rebuild"] as const;
type Work = typeof WORKS[number];
/** A program takes about this long; a kill falls anywhere in it. */
const KILL_MS_MAX = 1200;

export interface KillReport {
  faults: number;
  /** By what was killed while it was done. */
  byWork: Record<Work, number>;
  snapshots: number;
  restores: number;
}

export interface KillOptions {
  folder: string;
  seed: number;
  rounds: number;
  /** Every snapshot is restored after so many rounds, and at the end. */
  restoreEvery: number;
  note?: (line: string) => void;
}

/** @throws {AssertionError} if anything that was acknowledged is lost or wrong */
export async function runKills(options: KillOptions): Promise<KillReport> {
  const rig = new Rig(options.folder);
  await rig.prepare();
  try {
    return await new KillRun(rig, options).run();
  } finally {
    await rig.killServer();
  }
}

class KillRun {
  readonly #rig: Rig;
  readonly #options: KillOptions;
  readonly #random: Random;
  readonly #oracle: Oracle;
  readonly #report: KillReport = {
    faults: 0,
    byWork: { backup: 0, forget: 0, gc: 0, scrub: 0, rebuild: 0 },
    snapshots: 0,
    restores: 0,
  };

  constructor(rig: Rig, options: KillOptions) {
    this.#rig = rig;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#oracle = new Oracle(rig.source, this.#random);
  }

  async run(): Promise<KillReport> {
    const { rounds, restoreEvery } = this.#options;
    await this.#backUp();
    for (let round = 0; round < rounds; round++) {
      // The short run, too, sees each of them.
      const work = round < WORKS.length ? WORKS[round] : this.#random.pick(WORKS);
      await this.#disturb(work);
      if (this.#random.below(2) === 0) await this.#backUp();
      if ((round + 1) % restoreEvery === 0) await this.#restoreAll();
    }
    await this.#collectUndisturbed();
    await this.#restoreAll();
    return this.#report;
  }

  /** Begins something, kills somebody meanwhile, recovers. */
  async #disturb(work: Work): Promise<void> {
    this.#report.faults++;
    this.#report.byWork[work]++;
    const delayMs = this.#random.below(KILL_MS_MAX);
    const killsServer = work === "rebuild" || this.#random.below(2) === 0;
    const target = killsServer ? "server" : "client";
    this.#options.note?.(`${work}: ${target} killed after ${delayMs} ms`);
    if (work === "rebuild") await this.#rig.killServer();
    const manifest = work === "backup" ? this.#changed() : this.#oracle.look();
    const running = this.#begin(work);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (work === "rebuild" || !killsServer) running.kill();
    else await this.#rig.killServer();
    if (work === "backup" && killsServer) await this.#recover(); // the client waits for it
    const ran = await running.ended;
    if (work === "backup" && ran.code === 0) this.#acknowledge(ran, manifest);
    await this.#recover();
    if (work === "rebuild") return;
    if (this.#random.below(3) === 0) await this.#letTimePass();
  }

  #begin(work: Work): Running {
    const { dataPath } = this.#rig;
    switch (work) {
      case "backup":
        return this.#rig.client("backup", this.#rig.source, "--json");
      case "forget": {
        const snapshot = this.#random.pick(this.#oracle.inForce);
        this.#oracle.forget(snapshot, this.#rig.nowMs + VAULT.holdMs);
        return this.#rig.client("forget", snapshot);
      }
      default:
        return this.#rig.server(work, "--data", dataPath);
    }
  }

  /** As docs/operations.md says: start the server. After a rebuild that was cut off: rebuild first. */
  async #recover(): Promise<void> {
    const { dataPath } = this.#rig;
    if (this.#rig.isServing) return;
    if (this.#random.below(4) === 0) {
      const { code, stderr } = await this.#rig.server("rebuild", "--data", dataPath).ended;
      assert.equal(code, 0, stderr);
    }
    await this.#rig.startServer();
  }

  async #letTimePass(): Promise<void> {
    await this.#rig.killServer();
    this.#rig.passTime(this.#random.pick([1, 7, 31]) * DAY_MS);
    await this.#rig.startServer();
  }

  async #backUp(): Promise<void> {
    const manifest = this.#changed();
    const ran = await this.#rig.client("backup", this.#rig.source, "--json").ended;
    assert.equal(ran.code, 0, ran.stderr);
    this.#acknowledge(ran, manifest);
  }

  #changed(): Map<string, string> {
    this.#oracle.change();
    return this.#oracle.look();
  }

  #acknowledge({ stdout }: Ran, manifest: Map<string, string>): void {
    const { snapshot } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    this.#oracle.keep(snapshot, manifest);
    this.#report.snapshots++;
  }

  /** With all sessions over: whatever may go, goes. */
  async #collectUndisturbed(): Promise<void> {
    await this.#rig.killServer();
    this.#rig.passTime(31 * DAY_MS);
    await this.#rig.startServer();
    const { code, stderr } = await this.#rig.server("gc", "--data", this.#rig.dataPath).ended;
    assert.equal(code, 0, stderr);
  }

  async #restoreAll(): Promise<void> {
    for (const snapshot of this.#oracle.owed(this.#rig.nowMs)) {
      const target = join(this.#rig.folder, "out");
      const { code, stderr } = await this.#rig.client("restore", snapshot, "--to", target).ended;
      assert.equal(code, 0, `snapshot ${snapshot}: ${stderr}`);
      this.#oracle.compare(snapshot, target);
      Deno.removeSync(target, { recursive: true });
      this.#report.restores++;
    }
  }
}
