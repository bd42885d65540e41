/**
 * How much room the file system has. The runtime tells it only with `--allow-sys=statfs`, which the server does not need
 * for anything else: without it nobody knows, and the reserve (`reserve.ts`) does its work all the same.
 */
import { statfs } from "node:fs";
import { promisify } from "node:util";

/** In bytes. */
export interface DiskSpace {
  total: number;
  /** What a user without privileges may still write. */
  free: number;
}

/** Undefined without the permission. */
export async function findDiskSpace(path: string): Promise<DiskSpace | undefined> {
  try {
    const { bsize, blocks, bavail } = await promisify(statfs)(path);
    return { total: bsize * blocks, free: bsize * bavail };
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}
