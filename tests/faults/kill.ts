/**
 * Class A. Kills client or server at random moments of a backup, a forget, a collection, a scrub, a rebuild, a change of
 * keys, the making of parity, a drill; recovers as the docs say; and then wants every acknowledged snapshot back, exactly.
 * All faults hit one vault, one after another, as they do in life.
 */
import assert from "node:assert/strict";
import { VAULT } from "../../lib/limits.ts";
import type { BegunClass, FaultClass } from "./fault_class.ts";
import type { Random } from "./random.ts";
import { Rig, type Running } from "./rig.ts";
import { acknowledge, backUp, restoreAll } from "./site.ts";

const DAY_MS = 24 * 3600 * 1000;
/** A program takes about this long; a kill falls anywhere in it. */
const KILL_MS_MAX = 1200;
/** Everything is restored after so many faults, and at the end. */
const RESTORE_EVERY = 40;
const WORKS = ["backup", "forget", "gc", "scrub", "rebuild", "rotate", "parity", "drill"] as const;
type Work = typeof WORKS[number];

export const KILL: FaultClass = {
  letter: "A",
  title: "kill -9 at any moment",
  shortCount: 7,
  count: 210,
  begin: async (folder, random) => {
    const rig = new Rig(folder, random);
    await rig.prepare();
    await backUp(rig);
    return new Kills(rig);
  },
};

class Kills implements BegunClass {
  readonly #rig: Rig;
  #count = 0;
  readonly faults = Object.fromEntries(
    WORKS.map((work) => [work, (random: Random) => this.#disturb(work, random)]),
  );

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  async finish(): Promise<void> {
    await this.#collectUndisturbed();
    await restoreAll(this.#rig);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig.killServer();
  }

  /** Begins something, kills somebody meanwhile, recovers. */
  async #disturb(work: Work, random: Random): Promise<void> {
    const rig = this.#rig;
    const delayMs = random.below(KILL_MS_MAX);
    const killsServer = work === "rebuild" || random.below(2) === 0;
    if (work === "rebuild") await rig.killServer();
    if (work === "backup") rig.oracle.change();
    const manifest = rig.oracle.look();
    const running = this.#begin(work, random);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (work === "rebuild" || !killsServer) running.kill();
    else await rig.killServer();
    if (work === "rotate" && killsServer) await this.#recover(random); // the client waits for it
    if (work === "backup" && killsServer) await this.#recover(random);
    const ran = await running.ended;
    if (work === "backup" && ran.code === 0) acknowledge(rig.oracle, ran, manifest);
    await this.#recover(random);
    if (work !== "rebuild" && random.below(3) === 0) await this.#letTimePass(random);
    if (random.below(2) === 0) await backUp(rig);
    if (++this.#count % RESTORE_EVERY === 0) await restoreAll(rig);
  }

  #begin(work: Work, random: Random): Running {
    const { dataPath, source, folder } = this.#rig;
    switch (work) {
      case "backup":
        return this.#rig.start("backup", source, "--json");
      case "forget": {
        const snapshot = random.pick(this.#rig.oracle.inForce);
        this.#rig.oracle.forget(snapshot, this.#rig.nowMs + VAULT.holdMs);
        return this.#rig.start("forget", snapshot);
      }
      case "drill": // what it leaves when it is killed must not fill the machine's own place for it
        return this.#rig.start("drill", "--to", folder);
      case "rotate":
        return this.#rig.start("keys", "rotate");
      case "parity": {
        const share = random.pick(["5%", "50%", "off"]);
        return this.#rig.server("parity", share, "--data", dataPath);
      }
      default:
        return this.#rig.server(work, "--data", dataPath);
    }
  }

  /** As docs/operations.md says: start the server. Now and then the index is made again before. */
  async #recover(random: Random): Promise<void> {
    const { dataPath } = this.#rig;
    if (this.#rig.isServing) return;
    if (random.below(4) === 0) {
      const { code, stderr } = await this.#rig.server("rebuild", "--data", dataPath).ended;
      assert.equal(code, 0, stderr);
    }
    await this.#rig.startServer();
  }

  async #letTimePass(random: Random): Promise<void> {
    await this.#rig.killServer();
    this.#rig.passTime(random.pick([1, 7, 31]) * DAY_MS);
    await this.#rig.startServer();
  }

  /** With all sessions over: whatever may go, goes. */
  async #collectUndisturbed(): Promise<void> {
    await this.#rig.killServer();
    this.#rig.passTime(31 * DAY_MS);
    await this.#rig.startServer();
    const { code, stderr } = await this.#rig.server("gc", "--data", this.#rig.dataPath).ended;
    assert.equal(code, 0, stderr);
  }
}
