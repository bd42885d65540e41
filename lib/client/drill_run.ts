/**
 * A drill: draws files of a snapshot by chance, restores them as `client restore` does, and compares each with the disk
 * where the file there still looks as it did when it was backed up.
 */
import { HoldfastError } from "../errors.ts";
import { formatByteSize } from "../flags.ts";
import type { DrillBody } from "../journal_body.ts";
import { isWithin } from "../vault/path_order.ts";
import type { Root } from "../vault/root.ts";
import type { Load } from "../vault/tree_reader.ts";
import { compareWithDisk, type Comparison } from "./disk_compare.ts";
import { type Draw, type SampledFile, sampleFiles } from "./file_sample.ts";
import type { Reading } from "./reading.ts";
import { rememberLoads } from "./remembered_load.ts";
import { RestoreLanes } from "./restore_lanes.ts";
import { RestoreTarget } from "./restore_target.ts";
import { type EntryFailure, Restorer } from "./restorer.ts";
import type { TemporaryFolder } from "./temporary_folder.ts";

export interface DrillPlan {
  root: Root;
  /** Files to draw. */
  count: number;
  /** Size of all files that are restored, at most. */
  bytesMax: number;
  folder: TemporaryFolder;
  draw: Draw;
}

/** Told of what happens, as it happens. */
export interface DrillObserver {
  /** A file, or a part of the snapshot with several of them, is damaged; or it could not be written here. */
  failed(path: string, failure: Pick<EntryFailure, "kind" | "message">): void;
  /** The disk has other contents, though size and times are the same. */
  differing(path: string): void;
  progress(bytes: number): void;
}

export interface DrillResult extends Omit<DrillBody, "root"> {
  /** Files that could not be written here. They are not among `files`. */
  failed: number;
  /** Files that were drawn and left out, because all would have been larger than allowed. */
  leftOut: number;
  /** Files that could not be compared, by why. */
  changed: number;
  missing: number;
  unreadable: number;
}

export class Drill {
  readonly #reading: Reading;
  readonly #plan: DrillPlan;
  readonly #observer: DrillObserver;
  readonly #load: Load;
  readonly #failures = new Map<string, EntryFailure>();
  readonly #comparisons = { same: 0, differing: 0, changed: 0, missing: 0, unreadable: 0 };
  #restorer: Restorer | undefined;
  #damaged = 0;
  #isAborted = false;

  constructor(reading: Reading, plan: DrillPlan, observer: DrillObserver) {
    this.#reading = reading;
    this.#plan = plan;
    this.#observer = observer;
    this.#load = rememberLoads(reading.loader.load);
  }

  /** @throws {HoldfastError} if no file was drawn that may be restored */
  async run(): Promise<DrillResult> {
    const drawn = await this.#sample();
    const sampled = this.#fit(drawn);
    await this.#restore(sampled);
    let [failed, bytes] = [0, 0];
    for (const file of sampled) {
      if (this.#isAborted) throw new HoldfastError("Cannot go on: the drill was left off");
      const failure = this.#failureOf(file);
      if (failure === undefined) {
        this.#comparisons[await this.#compare(file)]++;
        bytes += file.size;
      } else if (failure.kind === "damaged") this.#damaged++;
      else failed++;
    }
    const { same, differing, ...others } = this.#comparisons;
    const lost = this.#damaged;
    const restored = Object.values(this.#comparisons).reduce((sum, count) => sum + count, 0);
    return {
      ...{ files: restored + lost, bytes, compared: same + differing, differing, damaged: lost },
      ...{ failed, leftOut: drawn.length - sampled.length, ...others },
    };
  }

  /** Leaves off. What was restored is still there. */
  async abort(): Promise<void> {
    this.#isAborted = true;
    await this.#restorer?.abort();
  }

  async #sample(): Promise<SampledFile[]> {
    const { root, count, draw } = this.#plan;
    return await sampleFiles(root, {
      ...{ load: this.#load, count, draw },
      onLost: (path, { files, message }) => {
        this.#damaged += files;
        const state = files === 1 ? "1 drawn file is" : `${files} drawn files are`;
        this.#observer.failed(path, { kind: "damaged", message: `${state} lost: ${message}` });
      },
    });
  }

  /** Leaves out, in an order drawn by chance, what would be too much. In the order of the snapshot again. */
  #fit(drawn: SampledFile[]): SampledFile[] {
    const { bytesMax, draw } = this.#plan;
    const order = drawn.map((_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const other = draw(i + 1);
      [order[i], order[other]] = [order[other], order[i]];
    }
    let bytes = 0;
    const fitting = new Set(order.filter((i) => {
      const isFitting = bytes + drawn[i].size <= bytesMax;
      if (isFitting) bytes += drawn[i].size;
      return isFitting;
    }));
    if (fitting.size === 0 && drawn.length > 0) {
      const size = formatByteSize(bytesMax);
      throw new HoldfastError(`Cannot drill: each file that was drawn is larger than ${size}`, {
        hint: "--bytes SIZE allows more",
      });
    }
    return drawn.filter((_, i) => fitting.has(i));
  }

  async #restore(sampled: SampledFile[]): Promise<void> {
    if (sampled.length === 0) return;
    const { loader, session, options } = this.#reading;
    const { root, folder } = this.#plan;
    const bytes = sampled.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    this.#restorer = new Restorer({
      target: RestoreTarget.open(folder.path, { overwrite: "never", isDry: false }),
      load: this.#load,
      unmask: (reference) => loader.unmask(reference),
      makeLanes: (onResult) => new RestoreLanes({ options, session, bytes, onResult }),
      verify: true,
      observer: {
        failed: (path, failure) => {
          if (failure.kind !== "metadata") this.#failures.set(path, failure);
          this.#observer.failed(path, failure);
        },
        done: () => {},
        progress: (bytes) => this.#observer.progress(done += bytes),
      },
    });
    await this.#restorer.restore(root, sampled.map(({ path }) => path));
    folder.unlock();
  }

  /** What was told of a file, or of a folder that it is in. */
  #failureOf({ path }: SampledFile): EntryFailure | undefined {
    const own = this.#failures.get(path);
    if (own !== undefined) return own;
    if (isFile(this.#placeOf(path))) return undefined;
    for (const [above, failure] of this.#failures) {
      if (isWithin(path, above)) return failure;
    }
    const message = "it was not restored";
    this.#observer.failed(path, { kind: "damaged", message });
    return { kind: "damaged", message };
  }

  async #compare(file: SampledFile): Promise<Comparison> {
    const { path } = file;
    const comparison = await compareWithDisk(path, { restored: this.#placeOf(path), stamp: file });
    if (comparison === "differing") this.#observer.differing(path);
    return comparison;
  }

  #placeOf(path: string): string {
    return this.#plan.folder.path + path;
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
