/** Reads files of 256 KiB and more: each is cut into chunks of its own (docs/format.md, "Chunks"). */
import { BACKUP } from "../limits.ts";
import { ContentReader } from "./content_reader.ts";
import type { ContentSealer } from "./content_sealer.ts";
import { FileCutter } from "./file_cutter.ts";
import type { FileToRead } from "./file_list.ts";
import type { FileResult } from "./file_results.ts";
import { readSteadily } from "./steady_read.ts";
import type { Turns } from "./turns.ts";
import type { FileRunReader, JobReferences, RunnerOptions } from "./file_run.ts";

export class LargeFileReader implements FileRunReader {
  readonly #sealer: ContentSealer;
  readonly #chunkTable: Uint32Array;
  readonly #turns: Turns | undefined;
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #bytesRead = 0;

  constructor({ sealer, chunkTable, turns }: RunnerOptions) {
    this.#sealer = sealer;
    this.#chunkTable = chunkTable;
    this.#turns = turns;
  }

  takeBytesRead(): number {
    const bytes = this.#bytesRead;
    this.#bytesRead = 0;
    return bytes;
  }

  async read(files: FileToRead[], references: JobReferences): Promise<FileResult[]> {
    const results: FileResult[] = [];
    for (const file of files) {
      const { read, ...rest } = await readSteadily(file, {
        open: () => new ContentReader(file.path, file),
        read: (reader, sizeMax) => this.#readOne(reader, { sizeMax, references }),
      });
      results.push({ extents: read?.extents ?? [], ...rest });
    }
    return results;
  }

  async #readOne(
    reader: ContentReader,
    { sizeMax, references }: { sizeMax: number; references: JobReferences },
  ): Promise<{ extents: FileResult["extents"]; size: number }> {
    const buffer = this.#buffer ??= new Uint8Array(BACKUP.pieceBytes);
    const cutter = new FileCutter(reader, { chunkTable: this.#chunkTable, sizeMax });
    const extents: FileResult["extents"] = [];
    let size = 0;
    for (let parts; (parts = cutter.next(buffer)) !== undefined;) {
      if (this.#turns?.isDue) await this.#turns.take();
      for (const part of parts) {
        const length = "hole" in part ? part.hole : part.end - part.start;
        size += length;
        if ("hole" in part) extents.push([length]);
        else {
          await this.#sealer.ready();
          const sealing = this.#sealer.seal(buffer.subarray(part.start, part.end));
          extents.push([references.add(sealing), 0, length]);
        }
      }
    }
    this.#bytesRead += size;
    return { extents, size };
  }
}
