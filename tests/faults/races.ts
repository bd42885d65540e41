/**
 * Class E. Real programs at the same time: several devices back up while snapshots are forgotten, and the server collects
 * and scrubs; a program sleeps longer than its session lives; the server's clock is a day off.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { VAULT } from "../../lib/limits.ts";
import type { BegunClass, FaultClass } from "./fault_class.ts";
import type { Random } from "./random.ts";
import { Rig, type Running } from "./rig.ts";
import { acknowledge, backUp, restoreAll } from "./site.ts";

const DAY_MS = 24 * 3600 * 1000;
const DEVICES = ["profile", "second", "third"];
const RESTORE_EVERY = 10;

export const RACES: FaultClass = {
  letter: "E",
  title: "races, sleeping programs, clocks",
  shortCount: 5,
  count: 40,
  begin: async (folder, random) => {
    const rig = new Rig(folder, random);
    await rig.prepare();
    for (const name of DEVICES.slice(1)) {
      const invite = await rig.client("invite", "--role", "owner");
      const args = ["--device", name, "--profile", join(folder, name)];
      const made = await rig.client("init", invite.stdout.trim(), ...args);
      assert.equal(made.code, 0, made.stderr);
    }
    for (let i = 0; i < 3; i++) await backUp(rig);
    return new Races(rig);
  },
};

class Races implements BegunClass {
  readonly #rig: Rig;
  #count = 0;
  readonly faults = {
    "all at once": this.#then((random) => this.#allAtOnce(random)),
    "client asleep past its lease": this.#then((random) => this.#sleepingClient(random)),
    "server asleep": this.#then((random) => this.#sleepingServer(random)),
    "clock a day ahead": this.#then(() => this.#setClock(DAY_MS)),
    "clock a day behind": this.#then(() => this.#setClock(-DAY_MS)),
  };

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  async finish(): Promise<void> {
    await restoreAll(this.#rig);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig.killServer();
  }

  #then(fault: (random: Random) => Promise<void>): (random: Random) => Promise<void> {
    return async (random) => {
      await fault(random);
      if (++this.#count % RESTORE_EVERY === 0) await restoreAll(this.#rig);
    };
  }

  async #allAtOnce(random: Random): Promise<void> {
    const rig = this.#rig;
    const running = this.#startBackups(DEVICES);
    const snapshot = random.pick(rig.oracle.inForce);
    rig.oracle.forget(snapshot, rig.nowMs + VAULT.holdMs);
    const others = [
      rig.start("forget", snapshot),
      rig.server("gc", "--data", rig.dataPath),
      rig.server("scrub", "--data", rig.dataPath),
    ];
    await running.finish((code, stderr) => assert.equal(code, 0, stderr));
    for (const { ended } of others) {
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
    }
  }

  /** Its session ends, and twice is collected, while it sleeps in the middle of its backup. */
  async #sleepingClient(random: Random): Promise<void> {
    const rig = this.#rig;
    const running = this.#startBackups([DEVICES[0]]);
    await sleep(random.below(700));
    for (const one of running.all) one.signal("SIGSTOP");
    await rig.killServer();
    rig.passTime(DAY_MS / 4);
    await rig.startServer();
    for (let i = 0; i < 2; i++) {
      const { code, stderr } = await rig.server("gc", "--data", rig.dataPath).ended;
      assert.equal(code, 0, stderr);
    }
    for (const one of running.all) one.signal("SIGCONT");
    await running.finish((code, stderr) => assert.ok(code === 0 || code === 6, stderr));
  }

  async #sleepingServer(random: Random): Promise<void> {
    const running = this.#startBackups(DEVICES.slice(0, 2));
    await sleep(random.below(700));
    this.#rig.signalServer("SIGSTOP");
    await sleep(2000);
    this.#rig.signalServer("SIGCONT");
    await running.finish((code, stderr) => assert.equal(code, 0, stderr));
  }

  async #setClock(aheadMs: number): Promise<void> {
    const rig = this.#rig;
    const before = rig.aheadMs;
    await rig.killServer();
    rig.aheadMs += aheadMs;
    await rig.startServer();
    const running = this.#startBackups(DEVICES.slice(0, 1));
    await running.finish((code, stderr) => assert.equal(code, 0, stderr));
    const { code, stderr } = await rig.server("gc", "--data", rig.dataPath).ended;
    assert.equal(code, 0, stderr);
    await rig.killServer();
    rig.aheadMs = before;
    await rig.startServer();
  }

  /** Each device backs up the same files. */
  #startBackups(profiles: string[]) {
    const { oracle, source, folder } = this.#rig;
    oracle.change();
    const manifest = oracle.look();
    const all: Running[] = profiles.map((name) =>
      this.#rig.start("backup", source, "--json", "--profile", join(folder, name))
    );
    const finish = async (judge: (code: number, stderr: string) => void) => {
      for (const { ended } of all) {
        const ran = await ended;
        judge(ran.code, ran.stderr);
        if (ran.code === 0) acknowledge(oracle, ran, manifest);
      }
    };
    return { all, finish };
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
