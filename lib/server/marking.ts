/**
 * Marks what snapshots reach (docs/store.md, "Collection"): one bit for each row. Depth first, without recursion, each
 * record with links read once, its links looked up together.
 */
import { concatBytes } from "../bytes.ts";
import type { UpkeepDatabase } from "../db_upkeep.ts";
import { STORE, UPKEEP } from "../limits.ts";
import { RECORD_ID_BYTES } from "../record.ts";
import { BitSet } from "./bit_set.ts";
import { linkBytes } from "./record_links.ts";
import type { RecordReader } from "./record_reader.ts";
import { SeenIds } from "./seen_ids.ts";
import type { Throttle } from "./throttle.ts";

/** Ids that are looked up with one statement: some milliseconds. */
const LOOKED_UP_BYTES = 512 * RECORD_ID_BYTES;

export interface MarkingOptions {
  vaultNumber: number;
  upkeep: UpkeepDatabase;
  reader: RecordReader;
  throttle: Throttle;
}

/** Records of one level that are still to be read: ids, one behind the other. */
interface Level {
  ids: Uint8Array;
  next: number;
}

/**
 * What was reached so far. Whatever has a mark, all that it reaches has one too, as long as nothing is unknown: so more
 * roots can be added later for little.
 */
export class Marks {
  readonly #reached = new BitSet(0);
  /** What was looked up lately: snapshots share most of what they link. */
  readonly #seen = new SeenIds(UPKEEP.seenIds);
  /** Records whose links could not be read: nobody knows what lies below them. */
  unknown = 0;

  has(number: number): boolean {
    return this.#reached.has(number);
  }

  /**
   * Marks these roots and all that they reach.
   *
   * @param roots ids, one behind the other
   * @param last the largest number of a row: younger ones are followed and get no mark
   */
  async add(
    roots: Uint8Array,
    { last, ...options }: MarkingOptions & { last: number },
  ): Promise<void> {
    this.#reached.grow(last);
    this.#seen.clear(); // what had no mark was followed, and may get one now
    const levels: Level[] = [{ ids: await this.#mark(roots, options), next: 0 }];
    while (levels.length > 0) {
      const level = levels[levels.length - 1];
      const ids = takeIds(level, UPKEEP.idsPerMark);
      if (ids.length === 0) {
        levels.pop();
        continue;
      }
      const below = await this.#markBelow(ids, options);
      if (levels.length <= STORE.linkDepthMax) levels.push({ ids: below, next: 0 });
      else this.unknown += below.length / RECORD_ID_BYTES; // no commit lets them in
    }
  }

  /** Reads records and marks what they link. Gives the ids of those of it that are to be read too. */
  async #markBelow(ids: Uint8Array[], options: MarkingOptions): Promise<Uint8Array> {
    const below: Uint8Array[] = [];
    for await (const read of options.reader.readAll(ids)) {
      if (read.state === "found") below.push(await this.#mark(linkBytes(read.bytes), options));
      else this.unknown++;
    }
    return concatBytes(...below);
  }

  /** Marks records. Gives the ids of those that have links and had no mark. */
  async #mark(
    ids: Uint8Array,
    { vaultNumber, upkeep, throttle }: MarkingOptions,
  ): Promise<Uint8Array> {
    const linking: Uint8Array[] = [];
    for (let at = 0; at < ids.length; at += LOOKED_UP_BYTES) {
      const some = this.#seen.addAll(ids.subarray(at, at + LOOKED_UP_BYTES));
      if (some.length === 0) continue;
      const numbers = await upkeep.findNumbers(vaultNumber, some);
      this.unknown += some.length / RECORD_ID_BYTES - numbers.length; // one that is gone may have had links
      const fresh = numbers.filter((number) => !this.#reached.has(number));
      for (const number of fresh) this.#reached.add(number);
      for (const { id, damaged } of await upkeep.findLinking(fresh)) {
        if (damaged) this.unknown++;
        else linking.push(id);
      }
      await throttle.pause();
    }
    return concatBytes(...linking);
  }
}

function takeIds(level: Level, max: number): Uint8Array[] {
  const ids: Uint8Array[] = [];
  while (ids.length < max && level.next < level.ids.length) {
    ids.push(level.ids.subarray(level.next, level.next += RECORD_ID_BYTES));
  }
  return ids;
}
