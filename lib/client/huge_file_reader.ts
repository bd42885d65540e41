/**
 * Reads a huge file in the main thread and cuts it in one pass; all workers seal its pieces. So one file keeps all cores
 * busy, and its cuts are those of any other file.
 */
import { BACKUP, HEAP_GROWTH } from "../limits.ts";
import { MemoryKeeper } from "../memory.ts";
import { ContentsBuilder, type FileContents } from "../vault/contents_builder.ts";
import type { Extent } from "../vault/entry.ts";
import type { Session } from "../vault/session.ts";
import type { Emit } from "../vault/tree_builder.ts";
import type { FileOutcome, JobResult } from "./backup_job.ts";
import { ContentReader } from "./content_reader.ts";
import type { FileToRead } from "./file_list.ts";
import { encodeResults } from "./file_results.ts";
import { FileCutter, type Part } from "./file_cutter.ts";
import type { JobPool } from "./job_pool.ts";
import { readSteadily } from "./steady_read.ts";

export interface HugeFileOptions {
  pool: JobPool;
  session: Session;
  chunkTable: Uint32Array;
  pathTable: Uint32Array;
  emit: Emit;
  onRead: (bytes: number) => void;
}

export class HugeFileReader {
  readonly #options: HugeFileOptions;
  readonly #memory = new MemoryKeeper(HEAP_GROWTH.mainBytesMax);
  /** Those that no worker has. */
  #buffers: Uint8Array<ArrayBuffer>[] = [];
  /** All of them. */
  #bufferCount = 0;

  constructor(options: HugeFileOptions) {
    this.#options = options;
  }

  /** Done when the file is read; the outcome follows when the workers are done with it. */
  async read(file: FileToRead): Promise<{ outcome: Promise<FileOutcome> }> {
    const { read, ...rest } = await readSteadily(file, {
      open: () => new ContentReader(file.path, file),
      read: (reader, sizeMax) => this.#readOnce(reader, sizeMax),
    });
    if (read === undefined) return { outcome: Promise.resolve(rest) };
    const outcome = read.contents.then((contents) => ({ contents, ...rest }));
    outcome.catch(() => {}); // told to whoever waits for it
    return { outcome };
  }

  async #readOnce(
    reader: ContentReader,
    sizeMax: number,
  ): Promise<{ size: number; contents: Promise<FileContents> }> {
    const { chunkTable, pool, onRead } = this.#options;
    const cutter = new FileCutter(reader, { chunkTable, sizeMax });
    const builder = new ContentsBuilder(this.#options);
    let adding = Promise.resolve();
    let size = 0;
    for (;;) {
      const buffer = this.#buffers.pop() ?? this.#makeBuffer();
      const parts = cutter.next(buffer);
      if (parts === undefined) {
        this.#buffers.push(buffer);
        break;
      }
      const bytes = parts.reduce((sum, part) => sum + sizeOf(part), 0);
      size += bytes;
      onRead(bytes);
      const chunks = parts.filter((part) => "start" in part);
      const sealing = chunks.length === 0
        ? this.#keepBuffer(buffer)
        : (await pool.start({ kind: "piece", buffer, chunks })).result;
      adding = adding.then(async () => await this.#add(builder, parts, await sealing));
      adding.catch(() => {}); // told at the end
      // One that a worker has is counted here all the same for as long as the engine likes.
      this.#memory.check({ liveBytes: this.#bufferCount * BACKUP.pieceBytes });
      await turn();
    }
    return { size, contents: adding.then(() => builder.finish()) };
  }

  #makeBuffer(): Uint8Array<ArrayBuffer> {
    this.#bufferCount++;
    return new Uint8Array(BACKUP.pieceBytes);
  }

  /** A piece that is all hole. */
  #keepBuffer(buffer: Uint8Array<ArrayBuffer>): Promise<JobResult> {
    return Promise.resolve({ references: [], files: encodeResults([]), bytesRead: 0, buffer });
  }

  async #add(
    builder: ContentsBuilder,
    parts: Part[],
    { references, buffer }: JobResult,
  ): Promise<void> {
    if (buffer !== undefined) this.#buffers.push(buffer);
    let index = 0;
    for (const part of parts) {
      const extent: Extent = { offset: 0, length: sizeOf(part) };
      if (!("hole" in part)) {
        extent.reference = { ...references[index++], session: this.#options.session.id };
      }
      await builder.add(extent);
    }
  }
}

function sizeOf(part: Part): number {
  return "hole" in part ? part.hole : part.end - part.start;
}

/** Lets answers and the terminal have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
