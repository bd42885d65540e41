/**
 * A worker of a backup: reads, cuts, compresses, seals, and sends over a connection of its own. Started by
 * `job_pool.ts`; what is said is in `backup_job.ts`.
 */
/// <reference lib="deno.worker" />
import { HEAP_GROWTH } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./backup_job.ts";
import { ContentSealer } from "./content_sealer.ts";
import { JobRunner } from "./job_runner.ts";
import { RecordSender } from "./record_sender.ts";
import { VaultClientSession } from "./session_v4.ts";
import { encodeWorkerError } from "./worker_error.ts";

interface Tools {
  runner: JobRunner;
  sender: RecordSender;
}

const memory = new MemoryKeeper(HEAP_GROWTH.workerBytesMax);
let tools: Promise<Tools> | undefined;
/** Of the jobs that are under way: they come and go. */
let pieceBytes = 0;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  handle(data).catch((error) => say({ type: "failed", fault: encodeWorkerError(error) }));
};

async function handle(message: ToWorker): Promise<void> {
  if (message.type === "setup") {
    await (tools = setUp(message.setup));
    return;
  }
  const { runner, sender } = await tools!;
  if (message.type === "drain") {
    await sender.drain();
    return say({ type: "drained", sent: sender.sent });
  }
  const { number, job } = message;
  const ownBytes = job.kind === "piece" ? job.buffer.length : 0;
  pieceBytes += ownBytes;
  const result = await runner.run(job);
  memory.check({ liveBytes: sender.liveBytes + pieceBytes });
  pieceBytes -= ownBytes;
  say(
    { type: "result", number, result },
    result.buffer === undefined ? [] : [result.buffer.buffer],
  );
}

async function setUp(setup: WorkerSetup): Promise<Tools> {
  const connection = await VaultClientSession.connect({ ...setup.connection, isFurther: true });
  await connection.openSession(setup.sessionId);
  const sender = new RecordSender(connection);
  const sealer = new ContentSealer({ ...setup, sender });
  return { sender, runner: new JobRunner({ ...setup, sealer }) };
}

function say(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, transfer);
}
