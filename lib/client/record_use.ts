/**
 * How much of each record of small files is still in use (docs/architecture.md, "Space"). When most files of a record have changed
 * since, the few others keep all of it alive; they are sent again with the next backup, into a record that is all theirs.
 *
 * Memory has a bound: of very many records only those are watched whose ids begin with certain bits, others another time.
 */
import { BACKUP } from "../limits.ts";
import type { Reference } from "../vault/session.ts";
import type { Entry } from "../vault/entry.ts";
import { SMALL_FILE_BYTES_MAX } from "../vault/small_files.ts";

interface Use {
  id: Uint8Array;
  liveBytes: number;
  /** Where the last file that is in use ends: the record is at least as large. */
  endBytes: number;
}

export class RecordUse {
  readonly #uses = new Map<string, Use>();
  readonly #max: number;
  /** Which ids are watched: those whose lowest bits are these. */
  readonly #pattern: number;
  #mask = 0;
  /** Neighbours are mostly in the same record. */
  #last: { reference: Reference; use: Use } | undefined;

  /** @param pattern a number of 32 bits, another one each time */
  constructor({ pattern, max = BACKUP.watchedRecordsMax }: { pattern: number; max?: number }) {
    this.#pattern = pattern;
    this.#max = max;
  }

  /** Takes an entry of the new snapshot, which may have its contents beside it. */
  add(entry: Entry, { extents }: Pick<Entry, "extents"> = entry): void {
    const { type, size } = entry;
    if (type !== "file" || size >= SMALL_FILE_BYTES_MAX || extents?.length !== 1) return;
    const [{ reference, offset, length }] = extents;
    if (reference === undefined || !this.#isWatched(reference.id)) return;
    const use = this.#last?.reference === reference ? this.#last.use : this.#useOf(reference);
    use.liveBytes += length;
    use.endBytes = Math.max(use.endBytes, offset + length);
    while (this.#uses.size > this.#max) this.#watchFewer();
  }

  /** Ids of records of which under half is in use, as long as their files are not over so many bytes. */
  sparse(bytesMax: number): Uint8Array[] {
    const ids: Uint8Array[] = [];
    let left = bytesMax;
    for (const { id, liveBytes, endBytes } of this.#uses.values()) {
      if (liveBytes * 2 >= endBytes || liveBytes > left) continue;
      if (ids.length >= BACKUP.sparseRecordsMax) break;
      left -= liveBytes;
      ids.push(id);
    }
    return ids;
  }

  #useOf(reference: Reference): Use {
    const name = reference.id.toBase64();
    let use = this.#uses.get(name);
    // The id is copied: as a view it would keep all of the segment that it was read from.
    if (use === undefined) use = { id: reference.id.slice(), liveBytes: 0, endBytes: 0 };
    this.#uses.set(name, use);
    this.#last = { reference, use };
    return use;
  }

  #isWatched(id: Uint8Array): boolean {
    const bits = id[0] | id[1] << 8 | id[2] << 16 | id[3] << 24;
    return ((bits ^ this.#pattern) & this.#mask) === 0;
  }

  #watchFewer(): void {
    this.#mask = this.#mask << 1 | 1;
    this.#last = undefined;
    for (const [name, { id }] of this.#uses) {
      if (!this.#isWatched(id)) this.#uses.delete(name);
    }
  }
}
