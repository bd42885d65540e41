/** What all classes do between their faults: back up and note what was acknowledged, restore it all and compare. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Manifest, Oracle } from "./oracle.ts";

/** What a program said, and how it ended. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** A vault with one device that backs up one folder. */
export interface Site {
  readonly folder: string;
  readonly source: string;
  readonly oracle: Oracle;
  /** By the server's clock. */
  readonly nowMs: number;
  /** Runs a command of the client to its end. */
  client(...args: string[]): Promise<Ran>;
}

/** Something that was acknowledged did not come back as it was. */
export class LossError extends Error {
  override name = "LossError";
  /** Files, folders and links that are gone or different. */
  readonly filesLost: number;

  constructor(message: string, filesLost: number) {
    super(message);
    this.filesLost = filesLost;
  }
}

/** Changes the source and backs it up, which must succeed. Gives the snapshot's id. */
export async function backUp(site: Site): Promise<string> {
  site.oracle.change();
  const { ran, snapshot } = await tryBackUp(site);
  assert.equal(ran.code, 0, `backup: ${ran.stderr}`);
  return snapshot!;
}

/** Backs the source up, which may fail. What is acknowledged is noted. */
export async function tryBackUp(site: Site): Promise<{ ran: Ran; snapshot: string | undefined }> {
  const manifest = site.oracle.look();
  const ran = await site.client("backup", site.source, "--json");
  const snapshot = ran.code === 0 ? acknowledge(site.oracle, ran, manifest) : undefined;
  return { ran, snapshot };
}

/** Notes a snapshot that `client backup --json` told of. */
export function acknowledge(oracle: Oracle, { stdout }: Ran, manifest: Manifest): string {
  const { snapshot } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  oracle.keep(snapshot, manifest);
  return snapshot;
}

/**
 * Restores every snapshot that must be there. Gives how many they are.
 *
 * @throws {LossError} if one is not as it was
 */
export async function restoreAll(site: Site): Promise<number> {
  const owed = site.oracle.owed(site.nowMs);
  const losses: LossError[] = [];
  for (const snapshot of owed) {
    try {
      await restoreOne(site, snapshot);
    } catch (error) {
      if (!(error instanceof LossError)) throw error;
      losses.push(error);
    }
  }
  if (losses.length === 0) return owed.length;
  const filesLost = losses.reduce((sum, loss) => sum + loss.filesLost, 0);
  throw new LossError(losses.map(({ message }) => message).join("\n"), filesLost);
}

/**
 * Restores every snapshot from a store that is known to be damaged: each must come back whole, or be named as damaged
 * (exit code 5) with all that does come back being right. Gives how many came back whole.
 *
 * @throws {LossError} if wrong data was given for right
 */
export async function restoreHonestly(site: Site): Promise<number> {
  let whole = 0;
  for (const snapshot of site.oracle.owed(site.nowMs)) {
    const target = join(site.folder, `out-${crypto.randomUUID().slice(0, 8)}`);
    const { code, stderr } = await site.client("restore", snapshot, "--to", target);
    const different = site.oracle.differences(snapshot, target);
    const wrong = code === 0 ? different : site.oracle.wrongFiles(snapshot, target);
    await Deno.remove(target, { recursive: true }).catch(() => {}); // it may never have been made
    if (wrong.length > 0) {
      throw new LossError(`exit code ${code} and wrong: ${wrong.join(" ")}`, wrong.length);
    }
    assert.ok(code === 0 || /damaged|missing|Cannot/.test(stderr), `nothing is named: ${stderr}`);
    if (code === 0) whole++;
    else assert.equal(code, 5, stderr);
  }
  return whole;
}

async function restoreOne(site: Site, snapshot: string): Promise<void> {
  const target = join(site.folder, `out-${crypto.randomUUID().slice(0, 8)}`);
  const { code, stderr } = await site.client("restore", snapshot, "--to", target);
  const different = site.oracle.differences(snapshot, target);
  await Deno.remove(target, { recursive: true }).catch(() => {}); // it may never have been made
  if (code === 0 && different.length === 0) return;
  const what = code === 0 ? "WRONG DATA AND EXIT CODE 0" : `exit code ${code}, ${stderr.trim()}`;
  const names = different.slice(0, 5).map((path) => JSON.stringify(path)).join(" ");
  throw new LossError(`snapshot ${snapshot.slice(0, 12)}: ${what}: ${names}`, different.length);
}
