/**
 * Reads small files into the buffer of a record, one after another, and seals it where the vault's rule says that it
 * ends (docs/format.md, "Small files"). One read and one look at each file.
 */
import {
  endsRecord,
  overflowsRecord,
  SMALL_FILE_BYTES_MAX,
  SMALL_RECORD_BYTES_MAX,
} from "../vault/small_files.ts";
import { ContentReader } from "./content_reader.ts";
import type { ContentSealer } from "./content_sealer.ts";
import type { FileToRead } from "./file_list.ts";
import type { FileResult } from "./file_results.ts";
import type { FileRunReader, JobReferences, RunnerOptions } from "./file_run.ts";
import { LargeFileReader } from "./large_file_reader.ts";
import { readSteadily } from "./steady_read.ts";
import type { Turns } from "./turns.ts";

/** A file is no longer small. */
class GrownError extends Error {}

export class SmallFileReader implements FileRunReader {
  readonly #sealer: ContentSealer;
  /** For files that have grown since the walk came by. */
  readonly #large: LargeFileReader;
  readonly #pathTable: Uint32Array;
  readonly #turns: Turns | undefined;
  readonly #buffer = new Uint8Array(SMALL_RECORD_BYTES_MAX + SMALL_FILE_BYTES_MAX);
  #filled = 0;
  /** Files of the open record; they learn its place when it is sealed. */
  #open: FileResult["extents"][] = [];
  #bytesRead = 0;

  constructor(options: RunnerOptions) {
    const { sealer, pathTable, turns } = options;
    this.#sealer = sealer;
    this.#large = new LargeFileReader(options);
    this.#pathTable = pathTable;
    this.#turns = turns;
  }

  takeBytesRead(): number {
    const bytes = this.#bytesRead;
    this.#bytesRead = 0;
    return bytes + this.#large.takeBytesRead();
  }

  async read(files: FileToRead[], references: JobReferences): Promise<FileResult[]> {
    const results: FileResult[] = [];
    for (const file of files) {
      if (this.#turns?.isDue) await this.#turns.take();
      results.push(await this.#add(file, references));
    }
    if (this.#filled > 0) await this.#close(references);
    return results;
  }

  async #add(file: FileToRead, references: JobReferences): Promise<FileResult> {
    let result: FileResult;
    try {
      result = await this.#read(file, references);
    } catch (error) {
      if (!(error instanceof GrownError)) throw error;
      return (await this.#large.read([file], references))[0];
    }
    const [, start, size] = result.extents[0] ?? [];
    if (start === undefined || size === undefined) return result;
    this.#bytesRead += size;
    this.#open.push(result.extents);
    this.#filled = start + size;
    const bytes = this.#buffer.subarray(start, this.#filled);
    const isEnd = endsRecord(this.#pathTable, { recordBytes: this.#filled, file: bytes });
    if (isEnd) await this.#close(references);
    return result;
  }

  /** Reads a file behind what the buffer holds, and leaves it to be taken in. */
  async #read(file: FileToRead, references: JobReferences): Promise<FileResult> {
    const { read, ...rest } = await readSteadily(file, {
      open: () => new ContentReader(file.path, { isSparse: false }),
      read: async (reader, sizeMax) => {
        if (sizeMax >= SMALL_FILE_BYTES_MAX) throw new GrownError();
        if (overflowsRecord(this.#filled, sizeMax)) await this.#close(references);
        const size = reader.read(this.#buffer.subarray(this.#filled, this.#filled + sizeMax));
        return { start: this.#filled, size };
      },
    });
    if (read === undefined || read.size === 0) return { extents: [], ...rest };
    return { extents: [[0, read.start, read.size]], ...rest };
  }

  async #close(references: JobReferences): Promise<void> {
    await this.#sealer.ready();
    const place = references.add(this.#sealer.seal(this.#buffer.subarray(0, this.#filled)));
    for (const [extent] of this.#open) extent[0] = place;
    this.#open = [];
    this.#filled = 0;
  }
}
