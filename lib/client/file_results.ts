/**
 * What became of the files of a job, in a form that is cheap to copy from one thread to another, and to keep until the
 * tree comes to each of them: numbers for files that lie in one record, which are most.
 */
import type { EntryState } from "./file_state.ts";

/** Bytes of a file: part of a record by its place in the job's references, or a hole. */
export type SentExtent = [reference: number, offset: number, length: number] | [hole: number];

/** What became of a file. */
export interface FileResult {
  extents: SentExtent[];
  /** Its state just before it was read, if that is not what the walk saw. */
  state?: EntryState;
  /** It changed while it was read, twice. What was read may be of several moments. */
  isTorn?: boolean;
  /** Why it is not in the backup. */
  fault?: string;
}

export interface FileResults {
  /** `NUMBERS` for each file; a length of 0 for those that numbers do not tell. */
  extents: Uint32Array<ArrayBuffer>;
  /** What became of those, by their number. */
  others: Map<number, FileResult>;
}

/** Place of the reference, offset, length. */
const NUMBERS = 3;

export function encodeResults(results: FileResult[]): FileResults {
  const extents = new Uint32Array(results.length * NUMBERS);
  const others = new Map<number, FileResult>();
  for (const [number, result] of results.entries()) {
    const [extent] = result.extents;
    if (extent?.length === 3 && result.extents.length === 1 && isPlain(result)) {
      extents.set(extent, number * NUMBERS);
    } else others.set(number, result);
  }
  return { extents, others };
}

export function resultAt({ extents, others }: FileResults, number: number): FileResult {
  const at = number * NUMBERS;
  const length = extents[at + 2];
  if (length > 0) return { extents: [[extents[at], extents[at + 1], length]] };
  const result = others.get(number);
  if (result === undefined) throw new RangeError(`No result of file ${number}`);
  return result;
}

/** Nothing is told but where the contents are. */
function isPlain({ state, isTorn, fault }: FileResult): boolean {
  return state === undefined && isTorn === undefined && fault === undefined;
}
