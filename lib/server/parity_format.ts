/**
 * The bytes of a parity file (docs/store.md, "Parity"). Pure. A pack is cut into blocks, and each block has a check, so
 * that which of them are wrong is known. What a file says about itself stands at its beginning and at its end.
 */
import { hash } from "node:crypto";
import { ByteReader, ByteWriter, concatBytes, equalBytes, TruncatedError } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { PARITY, STORE } from "../limits.ts";
import { type CodeShape, SHARDS_MAX } from "./reed_solomon.ts";

const MAGIC = new TextEncoder().encode("hfparit\n");
const END_MAGIC = new TextEncoder().encode("hfpaend\n");
const PARITY_VERSION = 1;
const VAULT_ID_BYTES = 32;
const HASH_BYTES = 32;
const CHECK_BYTES = 8;
const FOOTER_BYTES = 4 + END_MAGIC.length;
const HEAD_FIXED_BYTES = MAGIC.length + 1 + VAULT_ID_BYTES + 1 + 4 + HASH_BYTES + 1 + 1 + 2 +
  HASH_BYTES;

/** Parity is made of blocks: what a disk loses is a sector, or a page of 4 KiB. */
export const PARITY_BLOCK_BYTES = 4096;

/**
 * Shard i of a pack is `stripes` blocks from block `i * stripes` on. The blocks that stand at the same place in all shards
 * are a stripe: each stripe is a code by itself, and neighbouring blocks are in different ones.
 */
export interface ParityShape extends CodeShape {
  stripes: number;
}

/** What a parity file says about itself. */
export interface ParityHead {
  vaultId: Uint8Array;
  /** Name of the pack. */
  pack: string;
  /** Size of the pack file in bytes. */
  packBytes: number;
  /** SHA-256 of the pack file. */
  packHash: Uint8Array;
  shape: ParityShape;
  /** Of each block of the pack, and then of each block of parity, 8 bytes. */
  checks: Uint8Array;
}

/** A parity file that has at least one of its heads. */
export interface Parity {
  head: ParityHead;
  /** Blocks of parity, one shard after another; fewer if the file was cut. */
  blocks: Uint8Array;
  /** Whether both heads are right, and nothing is too long or too short. Of the blocks it says nothing. */
  isSound: boolean;
}

/** How a pack is cut: as few stripes as can be, and at least two blocks of parity in each. */
export function parityShape(packBytes: number, percent: number): ParityShape {
  const blocks = countBlocks(packBytes);
  const parityMax = Math.floor(SHARDS_MAX * percent / (100 + percent));
  const dataMax = Math.min(Math.floor(parityMax * 100 / percent), SHARDS_MAX - parityMax);
  const stripes = Math.ceil(blocks / dataMax);
  const dataCount = Math.ceil(blocks / stripes);
  // Two, or four bytes on the border of two blocks of a small pack would be too much.
  const parityCount = Math.max(Math.ceil(dataCount * percent / 100), 2);
  return { dataCount, parityCount, stripes };
}

export function countBlocks(bytes: number): number {
  return Math.ceil(bytes / PARITY_BLOCK_BYTES);
}

/** A block of a byte string; the last one may be shorter, and one behind it is empty. */
export function blockAt(bytes: Uint8Array, block: number): Uint8Array {
  return bytes.subarray(block * PARITY_BLOCK_BYTES, (block + 1) * PARITY_BLOCK_BYTES);
}

export function checkOf(block: Uint8Array): Uint8Array {
  return hashBytes(block).subarray(0, CHECK_BYTES);
}

/** The check at a place of a head's checks. */
export function checkAt(checks: Uint8Array, place: number): Uint8Array {
  return checks.subarray(place * CHECK_BYTES, (place + 1) * CHECK_BYTES);
}

export function encodeParity(head: ParityHead, blocks: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = encodeHead(head);
  const footer = new ByteWriter(FOOTER_BYTES).u32(bytes.length).bytes(END_MAGIC).done();
  return concatBytes(bytes, blocks, bytes, footer);
}

/**
 * What is left of a parity file. Fields are views of the file.
 *
 * @throws {DamagedError} if neither of its heads is right
 */
export function decodeParity(file: Uint8Array): Parity {
  const first = decodeHead(file);
  if (first !== undefined) {
    const from = headSize(first);
    const blocks = file.subarray(from, from + parityBytes(first));
    return { head: first, blocks, isSound: isSound(file, first, blocks) };
  }
  const last = findLastHead(file);
  if (last === undefined) throw new DamagedError("Cannot read parity: both of its heads are wrong");
  const end = file.length - FOOTER_BYTES - headSize(last);
  const start = end - parityBytes(last);
  if (start < 0) throw new DamagedError("Cannot read parity: it has lost its beginning");
  return { head: last, blocks: file.subarray(start, end), isSound: false };
}

function isSound(file: Uint8Array, head: ParityHead, blocks: Uint8Array): boolean {
  if (blocks.length !== parityBytes(head)) return false;
  const end = encodeParity(head, new Uint8Array(0)).subarray(headSize(head));
  return equalBytes(file.subarray(headSize(head) + blocks.length), end);
}

function findLastHead(file: Uint8Array): ParityHead | undefined {
  if (file.length < FOOTER_BYTES) return undefined;
  const reader = new ByteReader(file.subarray(-FOOTER_BYTES));
  const size = reader.u32();
  if (!equalBytes(reader.rest(), END_MAGIC)) return undefined;
  const start = file.length - FOOTER_BYTES - size;
  return start < 0 ? undefined : decodeHead(file.subarray(start, start + size));
}

function encodeHead({ vaultId, pack, packBytes, packHash, shape, checks }: ParityHead) {
  const name = new TextEncoder().encode(pack);
  const size = HEAD_FIXED_BYTES - HASH_BYTES + name.length + checks.length;
  const covered = new ByteWriter(size)
    .bytes(MAGIC).u8(PARITY_VERSION).bytes(vaultId).u8(name.length).bytes(name)
    .u32(packBytes).bytes(packHash)
    .u8(shape.dataCount).u8(shape.parityCount).u16(shape.stripes)
    .bytes(checks).done();
  return concatBytes(covered, hashBytes(covered));
}

/** The head with which the bytes begin; undefined if there is none, or it is not what it was. */
function decodeHead(bytes: Uint8Array): ParityHead | undefined {
  try {
    const reader = new ByteReader(bytes);
    if (!equalBytes(reader.bytes(MAGIC.length), MAGIC) || reader.u8() !== PARITY_VERSION) return;
    const vaultId = reader.bytes(VAULT_ID_BYTES);
    const pack = new TextDecoder().decode(reader.bytes(reader.u8()));
    const [packBytes, packHash] = [reader.u32(), reader.bytes(HASH_BYTES)];
    const [dataCount, parityCount] = [reader.u8(), reader.u8()];
    const shape = { dataCount, parityCount, stripes: reader.u16() };
    if (!isPossible(shape, packBytes)) return;
    const checkCount = countBlocks(packBytes) + shape.parityCount * shape.stripes;
    const checks = reader.bytes(checkCount * CHECK_BYTES);
    const covered = bytes.subarray(0, reader.offset);
    if (!equalBytes(reader.bytes(HASH_BYTES), hashBytes(covered))) return;
    return { vaultId, pack, packBytes, packHash, shape, checks };
  } catch (error) {
    if (error instanceof TruncatedError) return;
    throw error;
  }
}

function isPossible({ dataCount, parityCount, stripes }: ParityShape, packBytes: number): boolean {
  const blocks = countBlocks(packBytes);
  return packBytes >= 1 && packBytes <= STORE.packFileBytesMax && parityCount >= 1 &&
    dataCount + parityCount <= SHARDS_MAX && blocks <= dataCount * stripes &&
    parityCount * stripes * PARITY_BLOCK_BYTES <= PARITY.fileBytesMax;
}

function headSize({ pack, checks }: ParityHead): number {
  return HEAD_FIXED_BYTES + new TextEncoder().encode(pack).length + checks.length;
}

function parityBytes({ shape }: ParityHead): number {
  return shape.parityCount * shape.stripes * PARITY_BLOCK_BYTES;
}

/** SHA-256. */
function hashBytes(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
