/**
 * Reads a file so that what is read is of one moment, as far as that can be told: a file that has changed when it has
 * been read is read once more. The runtime can neither lock files nor freeze a file system.
 */
import type { FileToRead } from "./file_list.ts";
import type { FileResult } from "./file_results.ts";
import { describeFileError, type FileStamp, isSameStamp, stateEntry } from "./file_state.ts";

/** What the runtime's times are exact to, and the clocks of a file server and this machine may differ by. */
const CTIME_MS = 10_000;

/** A file that is open. */
export interface OpenFile extends Disposable {
  stat(): Deno.FileInfo;
}

export interface SteadyReading<T extends OpenFile, R extends { size: number }> {
  open: () => T;
  /** Reads at most `sizeMax` bytes from the start; says how many there were. */
  read: (file: T, sizeMax: number) => Promise<R>;
}

/** What was read, or why nothing was. */
export interface SteadyResult<R> extends Pick<FileResult, "state" | "isTorn" | "fault"> {
  read?: R;
}

export async function readSteadily<T extends OpenFile, R extends { size: number }>(
  expected: FileToRead,
  { open, read }: SteadyReading<T, R>,
): Promise<SteadyResult<R>> {
  try {
    using file = open();
    const first = await read(file, expected.size);
    const marks = { stamp: expected, size: first.size };
    if (isSteadyByPath(expected.path, marks) || isSteady(file.stat(), marks)) {
      return { read: first };
    }
  } catch (error) {
    return failure(error);
  }
  return await readAgain({ open, read });
}

async function readAgain<T extends OpenFile, R extends { size: number }>(
  { open, read }: SteadyReading<T, R>,
): Promise<SteadyResult<R>> {
  try {
    using file = open();
    const info = file.stat();
    if (!info.isFile) return { fault: "it is no longer a file" };
    const state = stateEntry(info);
    const second = await read(file, info.size);
    const isTorn = !isSteady(file.stat(), { stamp: state, size: second.size });
    // A torn file keeps the time from before it was read, so the next backup reads it again.
    return {
      read: second,
      state: { ...state, size: second.size },
      ...(isTorn ? { isTorn } : {}),
    };
  } catch (error) {
    return failure(error);
  }
}

/**
 * Whether a look at the path is enough, which costs half of one at the open file. It is if the file there has the marks
 * of before, and they are older than the reading: had another file been there meanwhile, then this one was renamed
 * twice, and renaming sets the ctime. Otherwise the open file tells.
 */
function isSteadyByPath(path: string, marks: { stamp: FileStamp; size: number }): boolean {
  if (marks.stamp.ctimeMs > Date.now() - CTIME_MS) return false;
  try {
    return isSteady(Deno.lstatSync(path), marks);
  } catch {
    return false;
  }
}

function isSteady(
  info: Deno.FileInfo,
  { stamp, size }: { stamp: FileStamp; size: number },
): boolean {
  return size === stamp.size && isSameStamp(stateEntry(info), stamp);
}

/** Only errors of the file system are the file's; others are of the run. */
function failure(error: unknown): { fault: string } {
  const code = (error as { code?: unknown })?.code;
  const isOfFile = typeof code === "string" ||
    Object.values(Deno.errors).some((type) => error instanceof type);
  if (!isOfFile) throw error;
  return { fault: describeFileError(error) };
}
