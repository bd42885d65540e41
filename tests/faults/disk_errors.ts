/**
 * Class C. Calls to the disk that fail: it is full, it gives errors, it can only be read; the index cannot grow; a quota is
 * used up. The backup must say so; and when the trouble is over, everything goes on as if nothing had been.
 */
import assert from "node:assert/strict";
import { Disk, type DiskCall } from "./disk.ts";
import type { Random } from "./random.ts";
import { backUp, restoreAll, tryBackUp } from "./site.ts";
import { removeTree, type Stage } from "./stage.ts";
import { stagedClass, type StagedFault } from "./staged_class.ts";

const MESSAGES = {
  ENOSPC: "No space left on device (os error 28)",
  EIO: "Input/output error (os error 5)",
  EROFS: "Read-only file system (os error 30)",
};

export const DISK_ERRORS = stagedClass({
  letter: "C",
  title: "disk full, errors, read-only, quota",
  shortCount: 9,
  count: 18,
  faults: {
    "packs: no space": failing({ code: "ENOSPC", exitCode: 4 }, isWriteTo("packs")),
    "journal: no space": failing({ code: "ENOSPC", exitCode: 4 }, isWriteTo("journal")),
    "packs: errors": failing({ code: "EIO" }, isWriteTo("packs")),
    "journal: errors": failing({ code: "EIO" }, isWriteTo("journal")),
    "flushes: errors": failing({ code: "EIO" }, ({ kind }) => kind === "sync"),
    "read-only": failing({ code: "EROFS" }, ({ kind }) => kind !== "read" && kind !== "open"),
    "reads: errors": failReads,
    "index: no space": fillIndex,
    quota: useUpQuota,
  },
});

function isWriteTo(folder: string) {
  return ({ kind, path }: DiskCall) =>
    (kind === "write" || kind === "sync" || kind === "rename") && path.startsWith(`${folder}/`);
}

/** Calls that match fail, from one of the first on. */
function failing(
  { code, exitCode }: { code: keyof typeof MESSAGES; exitCode?: number },
  matches: (call: DiskCall) => boolean,
): StagedFault {
  return async (stage, random) => {
    using disk = watch(stage);
    let rest = random.below(3);
    let failed = 0;
    await stage.restartServer(); // so that its open files are watched
    disk.beforeCall = (call) => {
      if (!matches(call) || rest-- > 0) return;
      failed++;
      throw Object.assign(new Error(MESSAGES[code]), { code });
    };
    stage.oracle.change();
    const { ran } = await tryBackUp(stage);
    if (failed > 0) assert.notEqual(ran.code, 0, "it was not told");
    if (failed > 0 && exitCode !== undefined) assert.equal(ran.code, exitCode, ran.stderr);
    await restoreAll(stage);
    disk.beforeCall = () => {};
    await recover(stage, random);
  };
}

async function failReads(stage: Stage, random: Random): Promise<void> {
  using disk = watch(stage);
  await stage.restartServer();
  let rest = random.below(6);
  let failed = 0;
  disk.beforeCall = ({ kind, path }) => {
    if (kind !== "read" || !path.startsWith("packs/") || rest-- > 0) return;
    failed++;
    throw Object.assign(new Error(MESSAGES.EIO), { code: "EIO" });
  };
  const snapshot = random.pick(stage.oracle.inForce);
  const target = `${stage.folder}/unread`;
  const { code } = await stage.client("restore", snapshot, "--to", target);
  assert.equal(code !== 0, failed > 0, `exit code ${code}`); // a small snapshot may need fewer reads
  assert.deepEqual(stage.oracle.wrongFiles(snapshot, target), []);
  await removeTree(target);
  disk.beforeCall = () => {};
  await recover(stage, random);
}

async function fillIndex(stage: Stage, random: Random): Promise<void> {
  const { sql } = stage.service.db;
  const pages = Number(sql.get("PRAGMA page_count")!.page_count);
  sql.get(`PRAGMA max_page_count = ${pages}`);
  let code = 0;
  let stderr = "";
  for (let i = 0; i < 40 && code === 0; i++) {
    stage.oracle.change();
    const { ran } = await tryBackUp(stage);
    code = ran.code;
    if (code !== 0) stderr = ran.stderr;
  }
  assert.equal(code, 4, stderr);
  // The bound ends with the server, which stops as ever.
  if (random.below(2) === 0) await stage.restartServer();
  else sql.get("PRAGMA max_page_count = 1000000");
  await recover(stage, random);
}

async function useUpQuota(stage: Stage, random: Random): Promise<void> {
  const { stdout } = await stage.server("vaults", "--json");
  const { id: vault } = JSON.parse(stdout.trim());
  const set = async (bytes: string) => {
    const { code, stderr } = await stage.server("quota", vault, "--bytes", bytes);
    assert.equal(code, 0, stderr);
  };
  await set("1KiB");
  await new Promise((resolve) => setTimeout(resolve, 1100)); // a quota counts within a second
  stage.oracle.change();
  const { ran } = await tryBackUp(stage);
  assert.equal(ran.code, 4, ran.stderr);
  assert.match(ran.stderr, /quota/);
  await restoreAll(stage);
  await set("1GiB");
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await recover(stage, random);
}

/** The trouble is over; the server may have been started again. */
async function recover(stage: Stage, random: Random): Promise<void> {
  if (random.below(2) === 0) await stage.restartServer();
  await restoreAll(stage);
  await backUp(stage);
  await restoreAll(stage);
  const { code, stdout } = await stage.server("scrub");
  assert.equal(code, 0, stdout);
}

function watch({ dataPath }: Stage): Disk {
  return new Disk({ folder: dataPath, databaseName: "holdfast.db" });
}
