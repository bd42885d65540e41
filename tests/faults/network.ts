/**
 * Class D. A network between client and server that cuts connections, holds bytes back, loses answers, is slow; and
 * requests that come twice. A backup gets through or says that it did not; what it says is true.
 */
import assert from "node:assert/strict";
import { VaultClientSession } from "../../lib/client/session_v4.ts";
import { type Fate, Proxy, type Treat } from "./proxy.ts";
import type { FaultClass } from "./fault_class.ts";
import type { Random } from "./random.ts";
import { backUp, restoreAll, tryBackUp } from "./site.ts";
import { Stage } from "./stage.ts";

const CONVERSATION_BYTES = 100_000;
const STALL_MS = 1500;
const LOST_MS = 300;

/** Makes a treatment for one backup. */
type Weather = (random: Random) => Treat;

const WEATHERS: Record<string, Weather> = {
  "cut in the middle of a frame": (random) => {
    const cuts = 1 + random.below(3);
    let left = random.below(CONVERSATION_BYTES);
    let connections = 0;
    return ({ bytes, connection }) => {
      if (connections >= cuts || connection < connections || (left -= bytes) > 0) return "pass";
      connections++;
      left = random.below(CONVERSATION_BYTES);
      return "cut";
    };
  },
  "stalled, then cut": (random) => {
    let left = random.below(CONVERSATION_BYTES);
    let isOver = false;
    return async ({ bytes }) => {
      if (isOver || (left -= bytes) > 0) return "pass";
      isOver = true;
      await sleep(STALL_MS);
      return "cut";
    };
  },
  "lost answer": (random) => {
    let left = random.below(8000);
    let isOver = false;
    return async ({ direction, bytes }) => {
      if (isOver || direction === "up" || (left -= bytes) > 0) return "pass";
      isOver = true;
      await sleep(LOST_MS); // what is on its way to the server still comes there
      return "cut";
    };
  },
  "1 % of all pieces lost": (random) => {
    let cuts = 0; // a client gives up after eight in a row
    return async () => {
      const chance = random.below(100);
      if (chance < 10) await sleep(20);
      return chance === 0 && cuts++ < 6 ? "cut" : "pass";
    };
  },
  slow: () => async ({ bytes }): Promise<Fate> => {
    await sleep(bytes / 100);
    return "pass";
  },
};

/** Backups from which on it is asked how many of them got through. */
const SHARE_ATTEMPTS_MIN = 30;

export const NETWORK: FaultClass = {
  letter: "D",
  title: "network",
  shortCount: 6,
  count: 60,
  begin: async (folder, random) => {
    let proxy: Proxy | undefined;
    const stage = await Stage.create(folder, {
      random,
      onServer: (stage) => {
        proxy = new Proxy(() => stage.port);
        stage.clientPort = proxy.port;
      },
    });
    await backUp(stage);
    const counts = { attempts: 0, through: 0 };
    const under = (weather: Weather) => async (random: Random) => {
      stage.oracle.change();
      proxy!.treat = weather(random);
      try {
        const { ran } = await tryBackUp(stage);
        assert.ok([0, 6].includes(ran.code), ran.stderr);
        counts.attempts++;
        if (ran.code === 0) counts.through++;
      } finally {
        proxy!.treat = () => "pass";
      }
      await afterwards(stage, random);
    };
    return {
      faults: {
        ...Object.fromEntries(
          Object.entries(WEATHERS).map(([name, weather]) => [name, under(weather)]),
        ),
        "requests that come twice": (random) => twice(stage, random),
      },
      finish: async () => {
        await restoreAll(stage);
        // Only what hits the login, or comes too often, is told the user; the rest is connected again. The share of a
        // handful is chance.
        if (counts.attempts < SHARE_ATTEMPTS_MIN) return;
        assert.ok(counts.through * 3 >= counts.attempts * 2, JSON.stringify(counts));
      },
      [Symbol.asyncDispose]: async () => {
        proxy?.close();
        await stage.stopServer();
      },
    };
  },
};

/** Everything works, and a part of what was ever acknowledged is looked at. */
async function afterwards(stage: Stage, random: Random): Promise<void> {
  if (random.below(3) === 0) await backUp(stage);
  const state = stage.oracle.save();
  stage.oracle.load(new Map([...state].slice(-3)));
  await restoreAll(stage);
  stage.oracle.load(state);
}

/** Each PUT, COMMIT and APPEND is said again when it is answered, as after a lost answer. */
async function twice(stage: Stage, random: Random): Promise<void> {
  const { prototype } = VaultClientSession;
  const { put, commit, append } = prototype;
  let repeated = 0;
  prototype.put = async function (id, ...record) {
    await put.call(this, id, ...record);
    await put.call(this, id, ...record);
    repeated++;
  };
  prototype.commit = async function (statement) {
    const first = await commit.call(this, statement);
    assert.deepEqual(await commit.call(this, statement), first);
    repeated++;
    return first;
  };
  prototype.append = async function (statement) {
    const first = await append.call(this, statement);
    assert.deepEqual(await append.call(this, statement), first);
    return first;
  };
  try {
    await backUp(stage);
    assert.ok(repeated > 1);
  } finally {
    Object.assign(prototype, { put, commit, append });
  }
  await afterwards(stage, random);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
