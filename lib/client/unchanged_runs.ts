/**
 * Finds runs of entries in which nothing has changed since the last snapshot. They go into the new tree as the lines that
 * they were, and a run that is a whole segment goes there without being looked at again. In most trees these are nearly
 * all entries, and an object for each, which waits in a queue, would take more time than everything else here.
 */
import type { Entry } from "../vault/entry.ts";
import type { KeptCursor } from "./kept_cursor.ts";
import type { Contents, OpenSegment } from "./open_segment.ts";

/** Lines of one segment of the last snapshot, from one to before another. */
export interface UnchangedRun {
  segment: OpenSegment;
  from: number;
  to: number;
  files: number;
  /** Sizes of the files. */
  bytes: number;
}

export class UnchangedRuns {
  readonly #kept: KeptCursor;
  #run: UnchangedRun | undefined;

  constructor(kept: KeptCursor) {
    this.#kept = kept;
  }

  /**
   * Takes what the walk has found next into the run, if it has not changed; the cursor covers its path.
   *
   * @returns its contents
   */
  take(entry: Entry): Contents | undefined {
    const { segment, at } = this.#kept;
    const contents = this.#kept.passUnchanged(entry);
    if (segment === undefined || contents === undefined) return undefined;
    const run = this.#run ??= { segment, from: at, to: at, files: 0, bytes: 0 };
    run.to++;
    if (entry.type === "file") run.files++;
    run.bytes += entry.size;
    return contents;
  }

  get isOpen(): boolean {
    return this.#run !== undefined;
  }

  /** The run, which ends here: what comes next has changed, or is of another segment. */
  end(): UnchangedRun | undefined {
    const run = this.#run;
    this.#run = undefined;
    return run;
  }
}

export function isWholeSegment({ segment, from, to }: UnchangedRun): boolean {
  return from === 0 && to === segment.lines.length && segment.canBeKept;
}
