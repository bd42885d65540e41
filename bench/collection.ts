/**
 * Collection of a vault with a million records and 500 snapshots by a real server: how long it takes and how much memory
 * the server needs, and how much slower backups to another vault of that server are meanwhile. What is needed must be there
 * afterwards, to the byte, and nothing else.
 */
import { join } from "node:path";
import { Database } from "../lib/db.ts";
import { formatByteSize } from "../lib/flags.ts";
import { Log } from "../lib/log.ts";
import { VaultStore } from "../lib/server/vault_store.ts";
import { SYSTEM_CLOCK } from "../lib/time.ts";
import { makeTree } from "./corpora.ts";
import { makeManyRecords, type ManyRecords } from "./many_records.ts";
import { measure, median, output, readCpuSeconds, readPeakBytes } from "./measure.ts";
import { type Place, server, startHoldfast } from "./peers.ts";
import { printTable, type Row } from "./table.ts";

/** A backup that is short against a collection. */
const TREE = { files: 4000, bytes: 56e6 };
/** Backups before a collection, and as many after it. */
const BACKUPS_AROUND = 8;
const SECONDS_MAX = 60;
const PEAK_MIB_MAX = 200;
const SLOWDOWN_MAX = 4 / 3;
const IDS_PER_READ = 4096;

export async function benchCollection({ scale }: { scale: number }): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
  try {
    console.log("making a vault with very many records");
    const made = join(folder, "made", "data");
    Deno.mkdirSync(made, { recursive: true });
    const vault = await makeManyRecords(made, scale);
    console.log(
      `${vault.ids.count} records, ${vault.ids.countNeeded()} of them needed; ` +
        `${vault.snapshots} snapshots, ${vault.forgotten} of them given up`,
    );
    const alone = join(folder, "alone");
    copyStore(made, join(alone, "data"));
    printTable("\nCollection", await benchAlone(alone, vault));
    const beside = join(folder, "beside");
    copyStore(made, join(beside, "data"));
    printTable("Backups beside it", await benchBeside(beside, { vault, scale }));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function benchAlone(folder: string, vault: ManyRecords): Promise<Row[]> {
  const place = await startHoldfast(folder);
  const rows: Row[] = [];
  for (const what of ["of what was given up", "with nothing to do"]) {
    const cpuBefore = readCpuSeconds(place.pid!);
    const startedAt = performance.now();
    const collected = await collect(place, vault);
    const seconds = (performance.now() - startedAt) / 1000;
    rows.push({
      collection: what,
      time: `${seconds.toFixed(1)} s`,
      goal: `< ${SECONDS_MAX} s`,
      "server's processor time": `${(readCpuSeconds(place.pid!) - cpuBefore).toFixed(1)} s`,
      "server's peak": formatByteSize(readPeakBytes(place.pid!)),
      "goal ": `< ${PEAK_MIB_MAX} MiB`,
      dropped: `${collected.dropped}`,
      deleted: `${collected.deleted}`,
      moved: `${collected.recordsMoved}`,
    });
  }
  await place.stop();
  await verify(folder, vault);
  return rows;
}

/** Backups before, while and after a vault is collected; always of a tree that is new. */
async function benchBeside(
  folder: string,
  { vault, scale }: { vault: ManyRecords; scale: number },
): Promise<Row[]> {
  const place = await startHoldfast(folder);
  const repository = await place.open("beside");
  let number = 0;
  const backUp = async () => {
    const source = join(folder, `source ${number++}`);
    const { files, bytes } = TREE;
    makeTree(source, { files: files * scale, bytes: bytes * scale, seed: number });
    return (await measure(repository.backup(source))).seconds;
  };
  const around = async (seconds: number[]) => {
    for (let i = 0; i < BACKUPS_AROUND; i++) seconds.push(await backUp());
  };
  await backUp();
  const without: number[] = [];
  const during: number[] = [];
  await around(without);
  const startedAt = performance.now();
  const collection = collect(place, vault);
  let isOver = false;
  const ended = collection.then(() => isOver = true);
  for (;;) {
    const seconds = await backUp();
    if (isOver) break; // that one was not beside it to its end
    during.push(seconds);
  }
  await ended;
  const tookSeconds = (performance.now() - startedAt) / 1000;
  await around(without);
  const peakBytes = readPeakBytes(place.pid!);
  await place.stop();
  await verify(folder, vault);
  if (during.length === 0) return [{ collection: "was over before a single backup" }];
  return [{
    "without it": `${median(without).toFixed(2)} s (${without.length})`,
    meanwhile: `${median(during).toFixed(2)} s (${during.length})`,
    ratio: (median(during) / median(without)).toFixed(2),
    goal: `< ${SLOWDOWN_MAX.toFixed(2)}`,
    "collection took": `${tookSeconds.toFixed(1)} s`,
    "server's peak": formatByteSize(peakBytes),
  }];
}

async function collect(
  { data }: Place,
  { vaultId }: ManyRecords,
): Promise<{ dropped: number; deleted: number; recordsMoved: number }> {
  const text = await output(server("gc", "--data", data, "--vault", vaultId.toHex(), "--json"));
  const collected = JSON.parse(text);
  if (collected.blocked !== undefined) throw new Error(`Collection is blocked: ${text}`);
  return collected;
}

/** What snapshots in force need is there, each record compared with its id, and nothing else is. */
async function verify(folder: string, { vaultId, ids }: ManyRecords): Promise<void> {
  const dataPath = join(folder, "data");
  const db = Database.open(join(dataPath, "holdfast.db"));
  const log = new Log({ format: "text", sink: Deno.stderr, now: Date.now });
  const store = await VaultStore.open({ dataPath, db, log, clock: SYSTEM_CLOCK });
  const vault = (await store.enter(vaultId))!;
  for (let start = 0; start < ids.count; start += IDS_PER_READ) {
    const count = Math.min(IDS_PER_READ, ids.count - start);
    const asked = Array.from({ length: count }, (_, i) => ids.id(start + i));
    for await (const { index, state } of vault.reader.readAll(asked)) {
      const expected = ids.isNeeded(start + index) ? "found" : "missing";
      if (state !== expected) throw new Error(`Record ${start + index} is ${state}`);
    }
  }
  store.leave(vault);
  await store.close();
  db.close();
}

/** Packs are never changed: the copy has the same files. */
function copyStore(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (isDirectory) copyStore(source, target);
    else if (from.includes("/packs/")) Deno.linkSync(source, target);
    else Deno.copyFileSync(source, target);
  }
}
