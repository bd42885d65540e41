/**
 * What a backup leaves out: globs of `--exclude`, and files of patterns in the syntax of `.gitignore`
 * (`--exclude-file`). A folder that is left out is not looked into.
 */
import ignore from "ignore";
import picomatch from "picomatch";
import { describeError, UsageError } from "../errors.ts";

/** `ignore` remembers every path that it was asked about; after so many it is made anew. */
const REMEMBERED_PATHS_MAX = 10_000;

/** A path that the walk has come to. */
export interface Candidate {
  /** Absolute. */
  path: string;
  /** Relative to the backup's path that it lies in; not empty. */
  relativePath: string;
  name: string;
  isFolder: boolean;
}

/** Whether to leave a path out. */
export type Exclude = (candidate: Candidate) => boolean;

export interface ExcludeRules {
  /** With a `/` a glob is compared with the whole path, otherwise with the name. */
  globs: string[];
  /** Contents of files of patterns; they are relative to the backup's paths. */
  patternTexts: string[];
}

/** @throws {UsageError} if a glob makes no sense */
export function makeExclude({ globs, patternTexts }: ExcludeRules): Exclude {
  const tests = globs.map(makeGlobTest);
  if (patternTexts.length > 0) tests.push(makePatternTest(patternTexts));
  return (candidate) => tests.some((test) => test(candidate));
}

function makeGlobTest(glob: string): Exclude {
  const isPath = glob.includes("/");
  const matches = compileGlob(isPath && !glob.startsWith("/") ? `/**/${glob}` : glob);
  return ({ path, name }) => matches(isPath ? path : name);
}

function compileGlob(glob: string): (text: string) => boolean {
  if (glob === "") throw new UsageError("Cannot use glob: it is empty");
  try {
    return picomatch(glob.replace(/(?<=[^/])\/+$/, ""), { dot: true });
  } catch (cause) {
    throw new UsageError(`Cannot use glob "${glob}": ${describeError(cause)}`);
  }
}

function makePatternTest(texts: string[]): Exclude {
  // Otherwise a name that is nothing but dots is refused.
  const make = () => {
    const rules = ignore({ allowRelativePaths: true });
    for (const text of texts) rules.add(text);
    return rules;
  };
  let rules = make();
  let count = 0;
  return ({ relativePath, isFolder }) => {
    if (++count > REMEMBERED_PATHS_MAX) {
      rules = make();
      count = 0;
    }
    return rules.ignores(isFolder ? `${relativePath}/` : relativePath);
  };
}
