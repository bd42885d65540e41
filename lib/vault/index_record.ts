/**
 * Index records (docs/format.md, "Index"): for each record one level down its reference, the first
 * path in it, and what it holds in all.
 */
import { DamagedError } from "../errors.ts";
import { VAULT } from "../limits.ts";
import { RecordType } from "../record.ts";
import { comparePaths, findPathFault } from "./path_order.ts";
import type { RecordContent } from "./seal.ts";
import type { Reference } from "./session.ts";
import { decodeText, parseObject } from "./text_record.ts";

/** Sums over entries. */
export interface Totals {
  entries: number;
  files: number;
  /** Sizes of the files; each name of a hard-linked file counts. */
  bytes: number;
}

/** One record below an index record. */
export interface IndexItem {
  reference: Reference;
  /** Path of its first entry. */
  path: string;
  totals: Totals;
}

const FIELDS = ["path", "entries", "files", "bytes"];

/** An item's line; its reference is the one of the same number. */
export function encodeIndexItem({ path, totals }: Omit<IndexItem, "reference">): string {
  const { entries, files, bytes } = totals;
  return JSON.stringify({ path, entries, files, bytes });
}

/**
 * @param level 1 above segments, one more above each other
 * @throws {DamagedError} if it is not an index record of that level, in order
 */
export function decodeIndex(content: RecordContent, level: number): IndexItem[] {
  const options = { type: RecordType.INDEX, headFields: ["level"] };
  const { references, head, lines } = decodeText(content, options);
  if (head.level !== level) throw damaged(`it is of another level than ${level}`);
  if (lines.length !== references.length || lines.length === 0) throw damaged("items are missing");
  const items = lines.map((line, i) => decodeItem(line, references[i]));
  for (let i = 1; i < items.length; i++) {
    if (comparePaths(items[i - 1].path, items[i].path) >= 0) throw damaged("not in order");
  }
  return items;
}

/** The item in which a path would be: the last that does not begin behind it. */
export function findItem(items: IndexItem[], path: string): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePaths(items[middle].path, path) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** @throws {DamagedError} unless it is a number of levels that a snapshot can have */
export function checkLevel(level: unknown): asserts level is number {
  const isRight = Number.isSafeInteger(level) && (level as number) >= 0 &&
    (level as number) <= VAULT.indexLevelsMax;
  if (!isRight) throw damaged("bad number of levels");
}

/** @throws {DamagedError} unless all are counts */
export function checkTotals(fields: Record<string, unknown>): Totals {
  const { entries, files, bytes } = fields;
  for (const value of [entries, files, bytes]) {
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw damaged("bad totals");
  }
  return { entries, files, bytes } as Totals;
}

function decodeItem(line: string, reference: Reference): IndexItem {
  const fields = parseObject(line, FIELDS);
  const { path } = fields;
  if (typeof path !== "string" || findPathFault(path) !== undefined) throw damaged("bad path");
  return { reference, path, totals: checkTotals(fields) };
}

function damaged(state: string): DamagedError {
  return new DamagedError(`Cannot decode index: ${state}`);
}
