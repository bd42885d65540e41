/** The thread that walks a tree (`tree_scanner.ts`): sends what it finds, and waits when it is too far ahead. */
/// <reference lib="deno.worker" />
import { BACKUP } from "../limits.ts";
import type { ExcludeRules } from "./exclude.ts";
import { loadExclude } from "./exclude_load.ts";
import { type FolderIdentity, type Left, type Scanned, scanTree } from "./scan.ts";
import { encodeBatch, type ScanBatch, type Skip } from "./scan_batch.ts";
import type { WorkerFault } from "./backup_job.ts";

/** What is to be walked. */
export interface ScanPlan {
  /** Sorted, none in another. */
  roots: string[];
  exclude: ExcludeRules;
  isOneFileSystem: boolean;
  ownFolder: FolderIdentity | undefined;
}

/** One number that both threads see: whether the reader waits for the walk, and so has time to look for itself. */
export type Waiting = Int32Array<SharedArrayBuffer>;

export type ToScanner =
  | { type: "scan"; plan: ScanPlan; waiting: Waiting }
  /** One batch has been taken. */
  | { type: "taken" };

export type FromScanner =
  | { type: "batch"; batch: ScanBatch }
  | { type: "end" }
  | { type: "failed"; fault: WorkerFault };

/** A slow file system is not waited for until a batch is full. */
const BATCH_MS = 100;

let batchesAhead = 0;
let wake = () => {};

self.onmessage = ({ data }: MessageEvent<ToScanner>) => {
  if (data.type === "taken") {
    batchesAhead--;
    return wake();
  }
  scan(data.plan, data.waiting).catch(async (error) => {
    const { encodeWorkerError } = await import("./worker_error.ts");
    say({ type: "failed", fault: encodeWorkerError(error) });
  });
};

async function scan(plan: ScanPlan, waiting: Waiting): Promise<void> {
  const { roots, exclude, isOneFileSystem, ownFolder } = plan;
  let found: (Scanned | Left)[] = [];
  let skips: Skip[] = [];
  let moreSkips = 0;
  let sentAt = performance.now();
  const send = async () => {
    while (batchesAhead >= BACKUP.scanBatchesAheadMax) {
      await new Promise<void>((resolve) => wake = resolve);
    }
    batchesAhead++;
    const batch = encodeBatch(found, { skips, moreSkips });
    say({ type: "batch", batch }, [batch.numbers.buffer]);
    [found, skips, moreSkips, sentAt] = [[], [], 0, performance.now()];
  };
  // A folder may hold millions of what cannot be backed up, with no entry in between.
  const onSkip = (path: string, reason: string) => {
    if (skips.length < BACKUP.reportedPathsMax) skips.push({ path, reason });
    else moreSkips++;
  };
  const leaves = () => Atomics.load(waiting, 0) !== 0;
  const options = {
    ...{ exclude: await loadExclude(exclude), isOneFileSystem, ownFolder },
    ...{ onSkip, leaves },
  };
  for (const scanned of scanTree(roots, options)) {
    found.push(scanned);
    if (found.length >= BACKUP.scanBatchEntries || performance.now() - sentAt > BATCH_MS) {
      await send();
    }
  }
  await send();
  say({ type: "end" });
}

function say(message: FromScanner, transfer: Transferable[] = []): void {
  self.postMessage(message, transfer);
}
