/**
 * Collects the extents of one file (docs/format.md, "Lists"): up to 1000 stand in its entry; more
 * go into list records, so that neither an entry nor the memory grows with the file.
 */
import { VAULT } from "../limits.ts";
import { RecordType } from "../record.ts";
import { encodeExtent, type Extent, type ExtentList } from "./entry.ts";
import { keyedHash } from "./keyed_hash.ts";
import { endsRun, INDEX_RUN } from "./runs.ts";
import { TextRun } from "./text_run.ts";
import type { Emit } from "./tree_builder.ts";

const HASH_SEED = 254;

/** What goes into the file's entry. */
export interface FileContents {
  size: number;
  extents?: Extent[];
  lists?: ExtentList[];
}

/** Takes the extents of a file in order. */
export class ContentsBuilder {
  readonly #pathTable: Uint32Array;
  readonly #emit: Emit;
  #extents: Extent[] = [];
  #lists: ExtentList[] | undefined;
  readonly #run = new TextRun();
  #runBytes = 0;
  #size = 0;

  /** @param pathTable from the write secret */
  constructor({ pathTable, emit }: { pathTable: Uint32Array; emit: Emit }) {
    this.#pathTable = pathTable;
    this.#emit = emit;
  }

  /** Takes the next extent. Calls must not overlap. */
  async add(extent: Extent): Promise<void> {
    this.#size += extent.length;
    if (this.#lists !== undefined) return await this.#addToList(extent);
    this.#extents.push(extent);
    if (this.#extents.length <= VAULT.entryExtentsMax) return;
    this.#lists = [];
    for (const earlier of this.#extents) await this.#addToList(earlier);
    this.#extents = [];
  }

  /** @throws {RangeError} if the file needs more lists than an entry may have */
  async finish(): Promise<FileContents> {
    if (this.#lists === undefined) return { size: this.#size, extents: this.#extents };
    if (this.#run.items > 0) await this.#closeList();
    return { size: this.#size, lists: this.#lists };
  }

  async #addToList(extent: Extent): Promise<void> {
    this.#run.add((table) => encodeExtent(extent, table));
    this.#runBytes += extent.length;
    const { items, chars } = this.#run;
    // A hole never ends a list: any number of them may be equal.
    const hash = () =>
      extent.reference === undefined
        ? 2 ** 32 - 1
        : keyedHash(this.#pathTable, HASH_SEED, extent.reference.id);
    if (endsRun(INDEX_RUN, { items, chars, hash })) await this.#closeList();
  }

  async #closeList(): Promise<void> {
    const lists = this.#lists ?? [];
    if (lists.length >= VAULT.entryListsMax) throw new RangeError("Too many extents in one file");
    const length = this.#runBytes;
    this.#runBytes = 0;
    lists.push({ reference: await this.#emit(this.#run.take(RecordType.LIST)), length });
  }
}
