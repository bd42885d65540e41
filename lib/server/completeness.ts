/**
 * Whether all that a record reaches is there (docs/store.md, "Complete"). Depth first, without recursion; what was
 * found complete is noted in the database, so that each record is walked once in each generation of its vault.
 */
import type { RecordDatabase, RecordRow } from "../db_records.ts";
import { DamagedError } from "../errors.ts";
import { STORE } from "../limits.ts";
import { RecordType } from "../record.ts";
import { copyLinks } from "./record_links.ts";
import type { RecordReader } from "./record_reader.ts";

export interface CompletenessOptions {
  vaultNumber: number;
  records: RecordDatabase;
  reader: RecordReader;
}

/** What a walk found missing or damaged; empty if nothing. */
export interface WalkResult {
  missing: Uint8Array[];
  /** Whether there may be more. */
  isCut: boolean;
}

/** Thrown when records link records deeper than any client needs. */
export class DepthError extends DamagedError {
  override name = "DepthError";
}

/** Something that a walk wanted to take back was deleted before it could. */
class OvertakenError extends Error {}

export class Completeness {
  readonly #options: CompletenessOptions;

  constructor(options: CompletenessOptions) {
    this.#options = options;
  }

  /** HAS: for each id whether it is there with all that it reaches. */
  async check(ids: Uint8Array[]): Promise<boolean[]> {
    const { vaultNumber, records } = this.#options;
    const rows = await records.findRecords(vaultNumber, ids);
    const generation = await records.findGeneration(vaultNumber);
    const answers: boolean[] = [];
    for (const [i, row] of rows.entries()) {
      answers.push(
        row !== undefined && isThere(row) &&
          (isKnownComplete(row, generation) || await this.#isComplete(ids[i])),
      );
    }
    return answers;
  }

  /**
   * COMMIT: what of all that this record reaches is not there; at most `max` ids. What is reached and condemned is
   * taken back from collection.
   *
   * @throws {DepthError}
   */
  async findMissing(id: Uint8Array, max: number): Promise<WalkResult> {
    for (;;) {
      try {
        return await new Walk(this.#options, { missingMax: max, lifts: true }).run(id);
      } catch (error) {
        if (!(error instanceof OvertakenError)) throw error; // what was deleted is missing the next time
      }
    }
  }

  async #isComplete(id: Uint8Array): Promise<boolean> {
    try {
      const walk = new Walk(this.#options, { missingMax: 1, lifts: false });
      return (await walk.run(id)).missing.length === 0;
    } catch (error) {
      if (error instanceof DepthError) return false;
      throw error;
    }
  }
}

/** A record whose links are being looked at. */
interface Step {
  id: Uint8Array;
  row: RecordRow;
  links: Uint8Array[];
  next: number;
  isComplete: boolean;
}

class Walk {
  readonly #options: CompletenessOptions;
  readonly #missingMax: number;
  readonly #lifts: boolean;
  readonly #missing = new Map<string, Uint8Array>();
  /** Row numbers of records that were walked and lack something. */
  readonly #incomplete = new Set<number>();
  /** Row numbers of records that are complete, not yet noted. */
  readonly #proven = new Set<number>();
  /** Condemned records that were reached, not yet taken back; ids by row number. */
  readonly #lifted = new Map<number, Uint8Array>();
  #generation = 0;

  constructor(
    options: CompletenessOptions,
    { missingMax, lifts }: { missingMax: number; lifts: boolean },
  ) {
    this.#options = options;
    this.#missingMax = missingMax;
    this.#lifts = lifts;
  }

  async run(root: Uint8Array): Promise<WalkResult> {
    const { vaultNumber, records } = this.#options;
    this.#generation = await records.findGeneration(vaultNumber);
    const stack: Step[] = [];
    await this.#visit(root, stack);
    while (stack.length > 0 && !this.#isFull) {
      const step = stack.at(-1)!;
      if (step.next < step.links.length) {
        if (!(await this.#visit(step.links[step.next++], stack))) step.isComplete = false;
        continue;
      }
      stack.pop();
      if (step.isComplete) this.#proven.add(step.row.number);
      else {
        this.#incomplete.add(step.row.number);
        const above = stack.at(-1);
        if (above) above.isComplete = false;
      }
      if (this.#proven.size + this.#lifted.size >= STORE.provenBatchMax) await this.#note();
    }
    await this.#note();
    return { missing: [...this.#missing.values()], isCut: stack.length > 0 };
  }

  get #isFull(): boolean {
    return this.#missing.size >= this.#missingMax ||
      (this.#incomplete.size >= STORE.walkedIncompleteMax && this.#missing.size > 0);
  }

  /** False if the record is known to lack something. True if it lacks nothing, or is on the stack now. */
  async #visit(id: Uint8Array, stack: Step[]): Promise<boolean> {
    const row = await this.#options.records.findRecord(this.#options.vaultNumber, id);
    if (row === undefined || row.damaged || (row.isCondemned && !this.#lifts)) {
      return this.#miss(id);
    }
    if (row.isCondemned) this.#lifted.set(row.number, id.slice());
    if (isKnownComplete(row, this.#generation) || this.#proven.has(row.number)) return true;
    if (this.#incomplete.has(row.number)) return false;
    if (stack.length >= STORE.linkDepthMax) {
      throw new DepthError("Cannot accept record: records below it are nested too deep");
    }
    const links = await this.#readLinks(id, row);
    if (links === undefined) return this.#miss(id);
    const { vaultNumber, records } = this.#options;
    const isDone = await records.areComplete(vaultNumber, links, this.#generation);
    stack.push({ id, row, links: isDone ? [] : links, next: 0, isComplete: true });
    return true;
  }

  #miss(id: Uint8Array): false {
    this.#missing.set(id.toHex(), id);
    return false;
  }

  /** The links, from the record itself, checked; undefined if it is damaged. */
  async #readLinks(id: Uint8Array, row: RecordRow): Promise<Uint8Array[] | undefined> {
    const record = await this.#options.reader.read(id, row);
    if (record === undefined) return undefined;
    return copyLinks(record);
  }

  /** Writes down what was found. What was lifted goes first: nothing is complete by what may be deleted. */
  async #note(): Promise<void> {
    const { vaultNumber, records } = this.#options;
    if (this.#lifted.size > 0) {
      const lifted = [...this.#lifted].map(([number, id]) => ({ number, id }));
      if (!(await records.liftCondemned(vaultNumber, lifted))) throw new OvertakenError();
    }
    if (this.#proven.size > 0) {
      await records.markComplete(vaultNumber, [...this.#proven], this.#generation);
    }
    this.#lifted.clear();
    this.#proven.clear();
  }
}

function isThere(row: RecordRow): boolean {
  return !row.damaged && !row.isCondemned;
}

function isKnownComplete(row: RecordRow, generation: number): boolean {
  const isLeaf = row.type === RecordType.DATA || row.type === RecordType.SESSION;
  return isLeaf || row.complete === generation;
}
