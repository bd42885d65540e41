/**
 * What a backup's main thread and its workers say to each other: plain data, because it is copied from one to the
 * other. A job is a run of files to read, or a piece of a huge file that is cut already.
 */
import type { FileContents } from "../vault/contents_builder.ts";
import type { Session } from "../vault/session.ts";
import type { FileList } from "./file_list.ts";
import type { FileResults } from "./file_results.ts";
import type { EntryState } from "./file_state.ts";
import type { SessionOptions } from "./session_v4.ts";

export type Job =
  /** Files below 256 KiB, in path order; several share a record. */
  | { kind: "small"; files: FileList }
  | { kind: "large"; files: FileList }
  | { kind: "piece"; buffer: Uint8Array<ArrayBuffer>; chunks: { start: number; end: number }[] };

/** A record's id and its masked key; the session is that of the run. */
export interface SentReference {
  id: Uint8Array;
  maskedKey: Uint8Array;
}

export interface JobResult {
  references: SentReference[];
  /** Of each file of the job. */
  files: FileResults;
  /** The piece's buffer, to be used again. */
  buffer?: Uint8Array<ArrayBuffer>;
  bytesRead: number;
  /** That the process had (`spare_cores.ts`). */
  cores?: number | undefined;
}

/** What a worker needs to begin. */
export interface WorkerSetup {
  connection: SessionOptions;
  /** Of the server's session. 16 bytes. */
  sessionId: Uint8Array;
  session: Session;
  recordKey: Uint8Array;
  chunkTable: Uint32Array;
  pathTable: Uint32Array;
}

/** An error in a form that can be copied; see `worker_error.ts`. */
export interface WorkerFault {
  name: string;
  message: string;
  hint?: string;
}

export interface SentCount {
  bytes: number;
  records: number;
}

export type ToWorker =
  | { type: "setup"; setup: WorkerSetup }
  | { type: "job"; number: number; job: Job }
  /** Answer when everything is durable. */
  | { type: "drain" };

export type FromWorker =
  | { type: "result"; number: number; result: JobResult }
  | { type: "drained"; sent: SentCount }
  | { type: "failed"; fault: WorkerFault };

/** What became of a file: contents, or why there are none. */
export interface FileOutcome {
  contents?: FileContents;
  /** Its state, if that is not what the walk saw. */
  state?: EntryState;
  isTorn?: boolean;
  fault?: string;
}
