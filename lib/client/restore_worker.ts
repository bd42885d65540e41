/** A worker of a restore: has a connection of its own, and does jobs until it is told to stop. */
import { HEAP_GROWTH } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import type { WorkerFault } from "./backup_job.ts";
import type { JobResult, RestoreJob } from "./restore_job.ts";
import { RestoreWriter } from "./restore_writer.ts";
import { encodeWorkerError } from "./worker_error.ts";
import { type SessionOptions, VaultClientSession } from "./session_v4.ts";

export type ToWorker =
  | { type: "start"; options: SessionOptions }
  | { type: "job"; job: RestoreJob }
  | { type: "stop" };

export type FromWorker =
  | { type: "result"; result: JobResult }
  | { type: "failed"; error: WorkerFault }
  | { type: "stopped" };

/** The worker's side of its port. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

const scope = self as unknown as WorkerScope;
const memory = new MemoryKeeper(HEAP_GROWTH.restoreBytesMax);
let writer: Promise<RestoreWriter> | undefined;

scope.onmessage = ({ data }) => {
  handle(data).catch((error) => {
    scope.postMessage({ type: "failed", error: encodeWorkerError(error) });
  });
};

async function handle(message: ToWorker): Promise<void> {
  if (message.type === "start") {
    writer = connect(message.options);
    await writer;
  } else if (message.type === "job") {
    const result = await (await writer)!.run(message.job);
    memory.check();
    scope.postMessage({ type: "result", result });
  } else {
    (await writer)?.stop();
    scope.postMessage({ type: "stopped" });
  }
}

async function connect(options: SessionOptions): Promise<RestoreWriter> {
  return new RestoreWriter(await VaultClientSession.connect({ ...options, isFurther: true }));
}
