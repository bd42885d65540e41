import assert from "node:assert/strict";
import { join } from "node:path";
import type { FileToRead, Job, JobResult, WorkerSetup } from "../../lib/client/backup_job.ts";
import type { ContentSealer } from "../../lib/client/content_sealer.ts";
import { JobPool } from "../../lib/client/job_pool.ts";
import { JobRunner } from "../../lib/client/job_runner.ts";
import { Turns } from "../../lib/client/turns.ts";
import { withFolder } from "../folder.ts";

const TABLE = new Uint32Array(256);

Deno.test("jobs that are not full are done in the main thread, and start no worker", async () => {
  const jobs: Job[] = [];
  const done: JobResult = { references: [], files: [], bytesRead: 0 };
  const run = (job: Job) => (jobs.push(job), Promise.resolve(done));
  const runner = { run } as unknown as JobRunner;
  const pool = new JobPool({ setup: {} as WorkerSetup, runner, workers: 2 });
  const job: Job = { kind: "small", files: [] };
  for (let i = 0; i < 3; i++) {
    const { result } = await pool.startPart(job);
    assert.equal(await result, done);
  }
  assert.deepEqual(jobs, [job, job, job]);
  assert.equal(pool.sent.length, 0);
  pool.close();
});

Deno.test("a job in the main thread gives all else its turn", async () => {
  await withFolder(async (folder) => {
    for (const kind of ["small", "large"] as const) {
      const job = { kind, files: makeFiles(join(folder, kind), 20) };
      assert.ok(await countTurns(job, new Turns(0)) > 1);
      assert.equal(await countTurns(job, undefined), 0); // in a worker
    }
  });
});

function makeFiles(folder: string, count: number): FileToRead[] {
  Deno.mkdirSync(folder);
  return Array.from({ length: count }, (_, i) => {
    const path = join(folder, `${i}`);
    Deno.writeTextFileSync(path, `${i}`);
    const { size, mtime, ctime, ino } = Deno.lstatSync(path);
    const times = { mtimeMs: mtime!.getTime(), ctimeMs: ctime!.getTime() };
    return { path, size, ...times, inode: ino!, isSparse: false };
  });
}

/** How often others came to their turn before the job was done. */
async function countTurns(job: Job, turns: Turns | undefined): Promise<number> {
  const sealer = {
    ready: () => Promise.resolve(),
    seal: () => Promise.resolve({ id: new Uint8Array(32), maskedKey: new Uint8Array(32) }),
  } as unknown as ContentSealer;
  const options = { sealer, chunkTable: TABLE, pathTable: TABLE };
  const runner = new JobRunner(turns === undefined ? options : { ...options, turns });
  let count = 0;
  const timer = setInterval(() => count++, 0);
  try {
    const { files } = await runner.run(job);
    assert.ok(files.every(({ fault }) => fault === undefined));
    return count;
  } finally {
    clearInterval(timer);
  }
}
