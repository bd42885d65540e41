/** What a restore hands to its workers (docs/restore.md): plain data, a message each. */

/** A record, and what opens it. */
export interface JobRecord {
  /** 32 bytes. */
  id: Uint8Array;
  /** 32 bytes. */
  key: Uint8Array;
}

/** Some bytes of a record, and where they belong in a file. */
export interface JobPiece {
  /** Place of the record in the job. */
  record: number;
  /** In the record's contents, bytes. */
  offset: number;
  length: number;
  /** In the file, bytes. */
  at: number;
}

/** What a file gets beside its contents. */
export interface FileMetadata {
  mode: number;
  mtimeMs: number;
  /** Undefined: whoever restores owns it. */
  owner?: { uid: number; gid: number };
}

export interface JobFile {
  /** Path of the entry, for messages. */
  path: string;
  /** Under which it is written, absolute. */
  temporary: string;
  /** Its place, absolute. */
  target: string;
  size: number;
  pieces: JobPiece[];
  metadata: FileMetadata;
  /** The file is there under its temporary name, and other jobs write other parts of it. */
  isPart: boolean;
}

export interface RestoreJob {
  /** Counts up from 1. */
  number: number;
  records: JobRecord[];
  files: JobFile[];
  /** Bits that the system takes away from the mode of a new file. */
  umask: number;
  /** Whether to read everything back. */
  verify: boolean;
}

export interface JobFailure {
  /** Place of the file in the job. */
  file: number;
  /** `damaged`: the vault's data are not right; `failed`: it could not be written; `metadata`: only that. */
  kind: "damaged" | "failed" | "metadata";
  message: string;
}

export interface JobResult {
  number: number;
  failures: JobFailure[];
  /** Bytes of contents that were written. */
  bytes: number;
  /** That the process had (`spare_cores.ts`). */
  cores?: number | undefined;
}
