/** Flags that several commands of the client have, and what they mean. */
import { type FlagValues, parseCount, readFlag } from "../flags.ts";
import { WORKERS_MAX } from "../limits.ts";
import { locateProfile, type ProfileFolder } from "./profile_folder.ts";

/** For `parseFlags`. */
export const PROFILE_FLAG = {
  profile: { type: "string" },
  "passphrase-file": { type: "string" },
} as const;
export const JSON_FLAG = { json: { type: "boolean" } } as const;
export const WORKERS_FLAG = { workers: { type: "string" } } as const;

export function profileOf(values: FlagValues): ProfileFolder {
  return locateProfile(readText(values, "profile"), readText(values, "passphrase-file"));
}

/** The text of a flag, if it was given. */
export function readText(values: FlagValues, flag: string): string | undefined {
  return readFlag<string | undefined>(values, { flag, parse: String, otherwise: undefined });
}

/** Undefined: as many as have a core. */
export function readWorkers(values: FlagValues): number | undefined {
  return readFlag<number | undefined>(values, {
    flag: "workers",
    parse: (text) => parseCount(text, { min: 0, max: WORKERS_MAX }),
    otherwise: undefined,
  });
}
