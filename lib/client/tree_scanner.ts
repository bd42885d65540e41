/**
 * Walks a tree in a thread of its own: looking at fifty thousand files takes as long as comparing them with the last
 * snapshot. The thread starts while the command line is being read, and the first walk begins while the connection is
 * being made; it goes only so far ahead. When it is waited for, it leaves files to be looked at here, so that both
 * threads are busy to the end.
 */
import { BACKUP } from "../limits.ts";
import type { BackupTally } from "./backup_tally.ts";
import { decodeBatch } from "./scan_batch.ts";
import { type Left, lookAtLeft, type Scanned } from "./scan.ts";
import type { FromScanner, ScanPlan, ToScanner, Waiting } from "./scan_worker.ts";

/** A walk that has begun. */
export interface TreeWalk {
  /** When it began, milliseconds since 1970: nothing was looked at before. */
  startMs: number;
  /** All that is there, in the order of entries, some hundred at a time. */
  batches: AsyncGenerator<Scanned[]>;
}

/** A thread that walks, or waits to be told what. */
interface Thread {
  worker: Worker;
  messages: { next(): Promise<FromScanner> };
  waiting: Waiting;
}

interface BegunWalk extends Thread {
  startMs: number;
}

export class TreeScanner implements Disposable {
  readonly #workers = new Set<Worker>();
  /** For the first walk. */
  #thread: Thread | undefined = this.#start();
  #plan: ScanPlan | undefined;
  #begun: BegunWalk | undefined;

  /** Ends the threads, whatever they are at. */
  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
    this.#workers.clear();
  }

  /** Begins the first walk. */
  begin(plan: ScanPlan): void {
    this.#plan = plan;
    this.#begun = this.#begin(plan);
  }

  /**
   * The walk that was begun, and then another each time. It is to be read to its end; what is left out is told to the tally.
   *
   * @throws {RangeError} if none was begun
   */
  scan(tally: Pick<BackupTally, "skip" | "skipMore">): TreeWalk {
    if (this.#plan === undefined) throw new RangeError("Cannot walk: nobody has said where");
    const begun = this.#begun ?? this.#begin(this.#plan);
    this.#begun = undefined;
    return { startMs: begun.startMs, batches: this.#read(begun, tally) };
  }

  async *#read(
    { worker, messages }: Thread,
    tally: Pick<BackupTally, "skip" | "skipMore">,
  ): AsyncGenerator<Scanned[]> {
    try {
      for (;;) {
        const message = await messages.next();
        if (message.type === "failed") {
          const { decodeWorkerError } = await import("./worker_error.ts");
          throw decodeWorkerError(message.fault);
        }
        if (message.type === "end") return;
        tell(worker, { type: "taken" });
        const onSkip = (path: string, reason: string) => tally.skip(path, reason);
        for (const { path, reason } of message.batch.skips) onSkip(path, reason);
        tally.skipMore(message.batch.moreSkips);
        yield* lookAtAll(decodeBatch(message.batch), { onSkip });
      }
    } finally {
      worker.terminate();
      this.#workers.delete(worker);
    }
  }

  #begin(plan: ScanPlan): BegunWalk {
    const startMs = Date.now();
    const thread = this.#thread ?? this.#start();
    this.#thread = undefined;
    tell(thread.worker, { type: "scan", plan, waiting: thread.waiting });
    return { ...thread, startMs };
  }

  #start(): Thread {
    const worker = new Worker(new URL("./scan_worker.ts", import.meta.url), { type: "module" });
    this.#workers.add(worker);
    const waiting = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    return { worker, messages: listen(worker, waiting), waiting };
  }
}

/** Does what the thread has left, because there was time here. Where that takes long it gives what it has in between. */
export function* lookAtAll(
  found: (Scanned | Left)[],
  { onSkip, turnMs = BACKUP.turnMs }: {
    onSkip: (path: string, reason: string) => void;
    turnMs?: number;
  },
): Generator<Scanned[]> {
  let looked: Scanned[] = [];
  let turnAt = performance.now() + turnMs;
  for (const one of found) {
    if ("entry" in one) {
      looked.push(one);
      continue;
    }
    const scanned = lookAtLeft(one.path, { onSkip });
    if (scanned !== undefined) looked.push(scanned);
    if (performance.now() < turnAt) continue;
    yield looked;
    looked = [];
    turnAt = performance.now() + turnMs;
  }
  if (looked.length > 0) yield looked;
}

/** What a thread says, one message after another. There are few: it waits to be told that they were taken. */
function listen(worker: Worker, waiting: Waiting): { next(): Promise<FromScanner> } {
  const messages: FromScanner[] = [];
  let failure: Error | undefined;
  let wake = () => {};
  worker.onmessage = ({ data }: MessageEvent<FromScanner>) => {
    messages.push(data);
    wake();
  };
  worker.onerror = (event) => {
    event.preventDefault();
    failure = new Error(`Worker failed: ${event.message}`);
    wake();
  };
  return {
    async next() {
      for (;;) {
        const message = messages.shift();
        if (message !== undefined) return message;
        if (failure !== undefined) throw failure;
        Atomics.store(waiting, 0, 1);
        await new Promise<void>((resolve) => wake = resolve);
        Atomics.store(waiting, 0, 0);
      }
    },
  };
}

function tell(worker: Worker, message: ToScanner): void {
  worker.postMessage(message);
}
