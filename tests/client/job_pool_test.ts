import assert from "node:assert/strict";
import { join } from "node:path";
import type { Job, JobResult, WorkerSetup } from "../../lib/client/backup_job.ts";
import type { ContentSealer } from "../../lib/client/content_sealer.ts";
import { encodeFiles } from "../../lib/client/file_list.ts";
import { encodeResults, resultAt } from "../../lib/client/file_results.ts";
import { JobPool } from "../../lib/client/job_pool.ts";
import { JobRunner } from "../../lib/client/job_runner.ts";
import { lookAtLeft, type Scanned } from "../../lib/client/scan.ts";
import { ComputeMeter, WorkerCount } from "../../lib/client/spare_cores.ts";
import { Turns } from "../../lib/client/turns.ts";
import { withFolder } from "../folder.ts";

const TABLE = new Uint32Array(256);
const FILES = 20;

/** Does nothing; what it is given ends when it is told to. */
class IdleRunner {
  readonly jobs: Job[] = [];
  #ends: ((result: JobResult) => void)[] = [];

  run(job: Job): Promise<JobResult> {
    this.jobs.push(job);
    return new Promise((resolve) => this.#ends.push(resolve));
  }

  /** @param cores that the process had meanwhile */
  end(cores?: number): JobResult {
    const result = { references: [], files: encodeResults([]), bytesRead: 0, cores };
    this.#ends.shift()!(result);
    return result;
  }
}

function openPool(cores: number): { pool: JobPool; runner: IdleRunner } {
  const runner = new IdleRunner();
  const pool = new JobPool({
    setup: {} as WorkerSetup,
    runner: runner as unknown as JobRunner,
    workers: new WorkerCount({ fixed: undefined, max: 2, cores }),
  });
  return { pool, runner };
}

const SMALL: Job = { kind: "small", files: encodeFiles([]) };

Deno.test("jobs that are not full are done in the main thread, and start no worker", async () => {
  const { pool, runner } = openPool(2);
  for (let i = 0; i < 3; i++) {
    const { result } = await pool.startPart(SMALL);
    assert.equal(runner.end(), await result);
  }
  assert.deepEqual(runner.jobs, [SMALL, SMALL, SMALL]);
  assert.equal(pool.sent.length, 0);
  pool.close();
});

Deno.test("where others have the cores, jobs are done in the main thread, a few at a time", async () => {
  const { pool, runner } = openPool(0);
  const first = await pool.start(SMALL);
  await pool.start(SMALL);
  let isStarted = false;
  const third = pool.start(SMALL).then(() => isStarted = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual([runner.jobs.length, isStarted], [2, false]);
  const result = runner.end(0.2);
  assert.equal(await first.result, result);
  await third;
  assert.equal(runner.jobs.length, 3);
  assert.equal(pool.sent.length, 0);
  pool.close();
});

Deno.test("a job that fails in the main thread tells whoever waits for it, whenever that is", async () => {
  for (const start of ["start", "startPart"] as const) {
    const runner = { run: () => Promise.reject(new Error("no connection")) };
    const pool = new JobPool({
      setup: {} as WorkerSetup,
      runner: runner as unknown as JobRunner,
      workers: new WorkerCount({ fixed: 0, max: 2 }),
    });
    const { result } = await pool[start](SMALL);
    await new Promise((resolve) => setTimeout(resolve, 0)); // nobody has waited yet
    await assert.rejects(result, /no connection/);
    pool.close();
  }
});

Deno.test("a worker is started as soon as there is a core for it", async () => {
  const { pool, runner } = openPool(0);
  let jobs = 0;
  for (; pool.sent.length === 0 && jobs < 100; jobs++) {
    const { result } = await pool.start(SMALL);
    result.catch(() => {}); // the worker has nowhere to connect to
    if (pool.sent.length > 0) break;
    runner.end(2);
    await result;
  }
  assert.ok(jobs > 1 && jobs < 10, `${jobs} jobs`);
  pool.close();
});

Deno.test("a job in the main thread gives all else its turn", async () => {
  await withFolder(async (folder) => {
    for (const kind of ["small", "large"] as const) {
      const job = { kind, files: encodeFiles(makeFiles(join(folder, kind), FILES)) };
      assert.ok(await countTurns(job, new Turns(0)) > 1);
      assert.equal(await countTurns(job, undefined), 0); // in a worker
    }
  });
});

function makeFiles(folder: string, count: number): Scanned[] {
  Deno.mkdirSync(folder);
  return Array.from({ length: count }, (_, i) => {
    const path = join(folder, `${i}`);
    Deno.writeTextFileSync(path, `${i}`);
    return lookAtLeft(path, { onSkip: (_, reason) => assert.fail(reason) })!;
  });
}

/** How often others came to their turn before the job was done. */
async function countTurns(job: Job, turns: Turns | undefined): Promise<number> {
  const sealer = {
    meter: new ComputeMeter(),
    ready: () => Promise.resolve(),
    seal: () => Promise.resolve({ id: new Uint8Array(32), maskedKey: new Uint8Array(32) }),
  } as unknown as ContentSealer;
  const options = { sealer, chunkTable: TABLE, pathTable: TABLE };
  const runner = new JobRunner(turns === undefined ? options : { ...options, turns });
  let count = 0;
  const timer = setInterval(() => count++, 0);
  try {
    const { files } = await runner.run(job);
    for (let i = 0; i < FILES; i++) assert.equal(resultAt(files, i).extents.length, 1);
    return count;
  } finally {
    clearInterval(timer);
  }
}
