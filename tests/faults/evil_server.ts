/**
 * Class H. A server that lies: it goes back, shows two histories, has another key, gives other records or none, says that
 * it has what it has not. The client names it and never takes wrong for right; and when the server is honest again,
 * everything is there.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Completeness } from "../../lib/server/completeness.ts";
import { type ReadRecord, RecordReader } from "../../lib/server/record_reader.ts";
import type { Random } from "./random.ts";
import { acknowledge, backUp, restoreAll, restoreHonestly } from "./site.ts";
import { copyTree, removeTree, type Stage } from "./stage.ts";
import { stagedClass } from "./staged_class.ts";

const JOURNAL_HEADER_BYTES = 41;
const HASH_BYTES = 32;

export const EVIL_SERVER = stagedClass({
  letter: "H",
  title: "evil server",
  shortCount: 7,
  count: 42,
  prepare: (stage) => stage.join("twin", "owner"),
  prepared: ["twin"],
  faults: {
    rollback: (stage) => goBack(stage, () => Promise.resolve()),
    "two histories": (stage) =>
      goBack(stage, async () => {
        for (let i = 0; i < 2; i++) {
          const ran = await stage.client("backup", stage.source, ...profileOf(stage, "twin"));
          assert.equal(ran.code, 0, ran.stderr);
        }
      }),
    "forged event": forgeEvent,
    "another key": anotherKey,
    "other records": (stage, random) =>
      lyingReads(stage, (read) => {
        if (read.state !== "found") return read;
        const bytes = read.bytes.slice();
        bytes[random.below(bytes.length)] ^= 1;
        return { ...read, bytes };
      }),
    "hidden records": (stage, random) =>
      lyingReads(
        stage,
        (read) => random.below(3) === 0 ? { index: read.index, state: "missing" } : read,
      ),
    "claims to have everything": claimsEverything,
  },
});

/** The server is set back to an earlier state; what it then did is thrown away later. */
async function goBack(stage: Stage, meanwhile: () => Promise<void>): Promise<void> {
  const [early, late] = ["early", "late"].map((name) => join(stage.folder, name));
  await stage.restartServer(() => copyTree(stage.dataPath, early));
  await backUp(stage);
  await stage.restartServer(() => Deno.renameSync(stage.dataPath, late));
  await stage.restartServer(() => replace(early, stage.dataPath));
  await meanwhile();
  for (const args of [["snapshots"], ["backup", stage.source]]) {
    const { code, stderr } = await stage.client(...args);
    assert.equal(code, 5, stderr);
    assert.match(stderr, /Cannot (trust journal|accept event).*hint: the server shows a false/s);
  }
  await stage.restartServer(() => replace(late, stage.dataPath));
  await restoreAll(stage);
}

/** The newest statement is changed, and the index made again, so that the server's own files fit. */
async function forgeEvent(stage: Stage, random: Random): Promise<void> {
  const copy = join(stage.folder, "copy");
  await backUp(stage); // its commit is the newest event
  await stage.restartServer(async () => {
    copyTree(stage.dataPath, copy);
    forgeLastEvent(journalOf(stage), random);
    await stage.server("rebuild");
  });
  for (const args of [["snapshots"], ["backup", stage.source, "--json"]]) {
    const { code, stderr } = await stage.client(...args);
    assert.notEqual(code, 0, stderr);
    assert.match(stderr, /Cannot (trust journal|accept event)|copy is damaged/);
  }
  await stage.restartServer(() => replace(copy, stage.dataPath));
  await restoreAll(stage);
}

/** See docs/store.md, "Journal files": size, event, hash of the event. */
function forgeLastEvent(path: string, random: Random): void {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  let at = JOURNAL_HEADER_BYTES;
  let size = view.getUint32(at, true);
  while (at + 4 + size + HASH_BYTES < bytes.length) {
    at += 4 + size + HASH_BYTES;
    size = view.getUint32(at, true);
  }
  const event = bytes.subarray(at + 4, at + 4 + size);
  event[size - 1 - random.below(80)] ^= 1;
  bytes.set(createHash("sha256").update(event).digest(), at + 4 + size);
  Deno.writeFileSync(path, bytes);
}

async function anotherKey(stage: Stage): Promise<void> {
  const files = ["server.key", "server.crt"].map((name) => join(stage.dataPath, name));
  const copies = files.map((path) => Deno.readFileSync(path));
  await stage.restartServer(() => files.forEach((path) => Deno.removeSync(path)));
  const { code, stderr } = await stage.client("backup", stage.source);
  assert.equal(code, 4, stderr);
  assert.match(stderr, /another key/);
  await stage.restartServer(() => files.forEach((path, i) => Deno.writeFileSync(path, copies[i])));
  await restoreAll(stage);
}

async function lyingReads(stage: Stage, lie: (read: ReadRecord) => ReadRecord): Promise<void> {
  const { prototype } = RecordReader;
  const { readAll } = prototype;
  prototype.readAll = async function* (ids) {
    for await (const read of readAll.call(this, ids)) yield lie(read);
  };
  try {
    await restoreHonestly(stage);
    const { code, stderr } = await stage.client("check", "--read-data");
    assert.equal(code, 5, stderr);
  } finally {
    prototype.readAll = readAll;
  }
  await restoreAll(stage);
}

/** A backup to it is worth nothing, and says so as soon as it is looked at. */
async function claimsEverything(stage: Stage): Promise<void> {
  const { prototype } = Completeness;
  const { check, findMissing } = prototype;
  prototype.check = (ids) => Promise.resolve(ids.map(() => true));
  prototype.findMissing = () => Promise.resolve({ missing: [], isCut: false });
  const honest = stage.oracle.save();
  try {
    stage.oracle.change();
    Deno.writeFileSync(join(stage.source, "new"), crypto.getRandomValues(new Uint8Array(1000)));
    const manifest = stage.oracle.look();
    const ran = await stage.client("backup", stage.source, "--json");
    if (ran.code === 0) acknowledge(stage.oracle, ran, manifest);
  } finally {
    Object.assign(prototype, { check, findMissing });
  }
  Deno.removeSync(join(stage.source, "new"));
  const whole = await restoreHonestly(stage);
  const isNamed = whole < stage.oracle.inForce.length;
  assert.ok(isNamed, "what was never sent came back");
  assert.equal((await stage.client("check", "--read-data")).code, 5);
  stage.oracle.load(honest);
  await restoreAll(stage);
}

async function replace(from: string, to: string): Promise<void> {
  await removeTree(to);
  Deno.renameSync(from, to);
}

function profileOf({ folder }: Stage, name: string): string[] {
  return ["--profile", join(folder, name)];
}

function journalOf({ dataPath }: Stage): string {
  const [{ name }] = Deno.readDirSync(join(dataPath, "journal"));
  return join(dataPath, "journal", name, "events");
}
