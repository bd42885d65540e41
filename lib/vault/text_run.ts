/** One open record of text while it is being filled: its lines and its references. */
import { VAULT } from "../limits.ts";
import type { RecordType } from "../record.ts";
import { ReferenceTable } from "./reference_table.ts";
import type { RecordContent } from "./seal.ts";
import { encodeText } from "./text_record.ts";

/** A reference may bring its session along. */
const LINKS_PER_REFERENCE = 2;

/** Collects lines until its owner takes them as one record. */
export class TextRun {
  #table = new ReferenceTable();
  #lines: string[] = [];
  #chars = 0;

  /** Lines so far. */
  get items(): number {
    return this.#lines.length;
  }

  /** Length of the lines so far, each with its line feed, in UTF-16 units. */
  get chars(): number {
    return this.#chars;
  }

  /** Whether a line with that many references is sure to fit. */
  hasRoom(references: number): boolean {
    return this.#table.linkCount + LINKS_PER_REFERENCE * references <= VAULT.linksMax;
  }

  add(encode: (table: ReferenceTable) => string): void {
    const line = encode(this.#table);
    this.#lines.push(line);
    this.#chars += line.length + 1;
  }

  /** The record's contents; then the run is empty again. */
  take(type: RecordType, head: Record<string, unknown> = {}): RecordContent {
    const content = encodeText(this.#table, { type, head, lines: this.#lines });
    this.#table = new ReferenceTable();
    this.#lines = [];
    this.#chars = 0;
    return content;
  }
}
