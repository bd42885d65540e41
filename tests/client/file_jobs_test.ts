import assert from "node:assert/strict";
import { join } from "node:path";
import type { Job, JobResult } from "../../lib/client/backup_job.ts";
import { FileJobs } from "../../lib/client/file_jobs.ts";
import { decodeFiles } from "../../lib/client/file_list.ts";
import { encodeResults } from "../../lib/client/file_results.ts";
import type { FileReading } from "../../lib/client/job_outcomes.ts";
import type { JobPool } from "../../lib/client/job_pool.ts";
import type { Scanned } from "../../lib/client/scan.ts";
import { BACKUP } from "../../lib/limits.ts";
import { withFolder } from "../folder.ts";

const TABLE = new Uint32Array(256).map((_, i) => Math.imul(i + 1, 0x9e3779b1));
const SESSION = { id: new Uint8Array(32).fill(1), key: new Uint8Array(32) };

/** Takes jobs; what becomes of them is told later. */
class FakePool {
  readonly jobs: Job[] = [];
  readonly partJobs: Job[] = [];
  readonly results: PromiseWithResolvers<JobResult>[] = [];

  start(job: Job): Promise<{ result: Promise<JobResult> }> {
    this.jobs.push(job);
    const result = Promise.withResolvers<JobResult>();
    this.results.push(result);
    return Promise.resolve({ result: result.promise });
  }

  startPart(job: Job): Promise<{ result: Promise<JobResult> }> {
    this.partJobs.push(job);
    return this.start(job);
  }
}

function openJobs(): { jobs: FileJobs; pool: FakePool; read: number[] } {
  const pool = new FakePool();
  const read: number[] = [];
  const jobs = new FileJobs({
    ...{ pool: pool as unknown as JobPool, session: SESSION, chunkTable: TABLE, pathTable: TABLE },
    ...{ emit: () => assert.fail("nothing is emitted"), onRead: (bytes) => void read.push(bytes) },
  });
  return { jobs, pool, read };
}

function scannedFile(path: string, size: number): Scanned {
  const state = { mode: 0o644, uid: 0, gid: 0, mtimeMs: 1, ctimeMs: 2, inode: 3, nlink: 1 };
  return { entry: { path, type: "file", size, ...state }, device: 1, allocatedBytes: size };
}

/** Adds files as the walk does. @returns the paths of each job that was started */
async function addAll(sizes: number[]): Promise<string[][]> {
  const { jobs, pool } = openJobs();
  for (const [i, size] of sizes.entries()) {
    jobs.add(scannedFile(`/file ${i}`, size));
    if (jobs.isFull) await jobs.start();
    assert.equal(jobs.isFull, false);
  }
  await jobs.flush();
  return pool.jobs.map((job) =>
    job.kind === "piece" ? [] : decodeFiles(job.files).map(({ path }) => path)
  );
}

Deno.test("a job has a bounded number of files and bytes, and each file is in one", async () => {
  const { jobFilesMax, jobBytesMin, jobBytesMax } = BACKUP;
  const tiny = await addAll(new Array(3 * jobFilesMax + 1).fill(10));
  assert.deepEqual(tiny.map((paths) => paths.length), [jobFilesMax, jobFilesMax, jobFilesMax, 1]);
  const sizes = Array.from({ length: 500 }, (_, i) => 1000 * (i % 240 + 1));
  const started = await addAll(sizes);
  assert.deepEqual(started.flat(), sizes.map((_, i) => `/file ${i}`));
  for (const [n, paths] of started.entries()) {
    const bytes = paths.reduce((sum, path) => sum + sizes[Number(path.slice(6))], 0);
    assert.ok(bytes < jobBytesMax + 250_000, `job ${n}: ${bytes} bytes`);
    if (n < started.length - 1) assert.ok(bytes >= jobBytesMin, `job ${n}: ${bytes} bytes`);
  }
  assert.deepEqual(await addAll(sizes), started); // it depends on the files alone
});

Deno.test("small and large files go into jobs of their own, and what is not full is started by flush()", async () => {
  const { jobs, pool } = openJobs();
  jobs.add(scannedFile("/small", 1000));
  jobs.add(scannedFile("/large", 1_000_000));
  jobs.add(scannedFile("/small too", 2000));
  assert.equal(pool.jobs.length, 0);
  await jobs.flush();
  const kinds = pool.partJobs.map(({ kind }) => kind);
  assert.deepEqual(kinds, ["small", "large"]);
  await jobs.flush();
  assert.equal(pool.jobs.length, 2); // nothing is started twice
});

Deno.test("whoever waits for a job learns what became of its files, or that it failed", async () => {
  const { jobs, pool, read } = openJobs();
  const add = async (path: string): Promise<FileReading> => {
    const reading = jobs.add(scannedFile(path, 1000));
    await jobs.flush();
    return reading;
  };
  const [first, second] = [await add("/a"), await add("/b")];
  const references = [{ id: new Uint8Array(32).fill(5), maskedKey: new Uint8Array(32) }];
  const files = encodeResults([{ extents: [[0, 0, 1000]] }]);
  pool.results[0].resolve({ references, files, bytesRead: 1000 });
  await first.job.done;
  const extent = first.job.at(first.number).contents?.extents?.[0];
  assert.deepEqual(extent?.reference, { ...references[0], session: SESSION.id });
  assert.deepEqual(read, [1000]);
  pool.results[1].reject(new Error("the worker is gone"));
  await assert.rejects(second.job.done, /the worker is gone/);
});

Deno.test("a huge file is read when the walk comes to it; that it is gone is its outcome", async () => {
  await withFolder(async (folder) => {
    const { jobs, pool } = openJobs();
    const { job, number } = jobs.add(scannedFile(join(folder, "gone"), BACKUP.hugeFileBytes));
    assert.equal(jobs.isFull, true);
    await jobs.start();
    assert.equal(jobs.isFull, false);
    await job.done;
    assert.deepEqual(job.at(number), { fault: "it is gone" });
    assert.equal(pool.jobs.length, 0);
  });
});
