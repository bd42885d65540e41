/**
 * The snapshots of a vault that are in force or in hold, in the order of their commits. Years of
 * hourly snapshots are many, so each takes 80 bytes of one buffer and a place in an index of numbers.
 */
import { equalBytes } from "./bytes.ts";
import { LABEL_BYTES } from "./journal_body.ts";
import { RECORD_ID_BYTES } from "./record.ts";

const ROW_BYTES = 80;
const SET_AT = RECORD_ID_BYTES;
const TIME_AT = SET_AT + LABEL_BYTES;
const NUMBER_AT = TIME_AT + 8;
const UNTIL_AT = NUMBER_AT + 8;
const DEVICE_AT = UNTIL_AT + 8;
const STATUS_AT = DEVICE_AT + 2;
const GONE = 0;
const PRESENT = 1;
const ROWS_MIN = 64;

/** One snapshot, as the journal tells it. */
export interface SnapshotRow {
  /** Id of its root record. 32 bytes. */
  root: Uint8Array;
  /** Label of its set of paths. 16 bytes. */
  setLabel: Uint8Array;
  tagLabels: Uint8Array[];
  /** Server's time of the commit, milliseconds. */
  timeMs: number;
  /** Number of the commit event. */
  number: number;
  /** Which device, in the order in which devices joined; from 0. */
  device: number;
  /** It is forgotten, and may be dropped at this time. 0: it is in force. */
  holdUntilMs: number;
}

/** A table of snapshots, found by root id, walked in order. */
export class SnapshotTable {
  #rows = new Uint8Array(ROWS_MIN * ROW_BYTES);
  #view = new DataView(this.#rows.buffer);
  #rowCount = 0;
  #goneCount = 0;
  /** Open addressing: 1 + number of a row, or 0. */
  #index = new Uint32Array(ROWS_MIN * 2);
  /** Tag labels by row; most snapshots have none. */
  #tags = new Map<number, Uint8Array[]>();

  /** Number of snapshots. */
  get size(): number {
    return this.#rowCount - this.#goneCount;
  }

  has(root: Uint8Array): boolean {
    return this.#find(root) >= 0;
  }

  get(root: Uint8Array): SnapshotRow | undefined {
    const row = this.#find(root);
    return row < 0 ? undefined : this.#read(row);
  }

  /** Adds a snapshot that is not there yet. */
  add(snapshot: SnapshotRow): void {
    if ((this.#rowCount + 1) * ROW_BYTES > this.#rows.length) this.#makeRoom();
    const row = this.#rowCount++;
    const at = row * ROW_BYTES;
    this.#rows.set(snapshot.root, at);
    this.#rows.set(snapshot.setLabel, at + SET_AT);
    this.#view.setFloat64(at + TIME_AT, snapshot.timeMs);
    this.#view.setFloat64(at + NUMBER_AT, snapshot.number);
    this.#view.setFloat64(at + UNTIL_AT, snapshot.holdUntilMs);
    this.#view.setUint16(at + DEVICE_AT, snapshot.device);
    this.#rows[at + STATUS_AT] = PRESENT;
    if (snapshot.tagLabels.length > 0) {
      this.#tags.set(row, snapshot.tagLabels.map((label) => label.slice()));
    }
    this.#insert(row);
  }

  /** Says until when a snapshot is held; 0 puts it in force again. */
  setHold(root: Uint8Array, holdUntilMs: number): void {
    const row = this.#find(root);
    if (row < 0) throw new RangeError("No such snapshot");
    this.#view.setFloat64(row * ROW_BYTES + UNTIL_AT, holdUntilMs);
  }

  remove(root: Uint8Array): void {
    const row = this.#find(root);
    if (row < 0) throw new RangeError("No such snapshot");
    this.#rows[row * ROW_BYTES + STATUS_AT] = GONE;
    this.#tags.delete(row);
    this.#goneCount++;
  }

  /** All snapshots, oldest commit first. The table must not change meanwhile. */
  *[Symbol.iterator](): Generator<SnapshotRow> {
    for (let row = 0; row < this.#rowCount; row++) {
      if (this.#rows[row * ROW_BYTES + STATUS_AT] === PRESENT) yield this.#read(row);
    }
  }

  #read(row: number): SnapshotRow {
    const at = row * ROW_BYTES;
    return {
      root: this.#rows.slice(at, at + RECORD_ID_BYTES),
      setLabel: this.#rows.slice(at + SET_AT, at + SET_AT + LABEL_BYTES),
      tagLabels: this.#tags.get(row) ?? [],
      timeMs: this.#view.getFloat64(at + TIME_AT),
      number: this.#view.getFloat64(at + NUMBER_AT),
      device: this.#view.getUint16(at + DEVICE_AT),
      holdUntilMs: this.#view.getFloat64(at + UNTIL_AT),
    };
  }

  #find(root: Uint8Array): number {
    const mask = this.#index.length - 1;
    for (let slot = hashOf(root) & mask;; slot = (slot + 1) & mask) {
      const row = this.#index[slot] - 1;
      if (row < 0) return -1;
      const at = row * ROW_BYTES;
      if (this.#rows[at + STATUS_AT] === GONE) continue;
      if (equalBytes(this.#rows.subarray(at, at + RECORD_ID_BYTES), root)) return row;
    }
  }

  #insert(row: number): void {
    const mask = this.#index.length - 1;
    const at = row * ROW_BYTES;
    let slot = hashOf(this.#rows.subarray(at, at + RECORD_ID_BYTES)) & mask;
    while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
    this.#index[slot] = row + 1;
  }

  /** Copies what is present into buffers twice its size. */
  #makeRoom(): void {
    const present = [...this.#presentRows()];
    const old = this.#rows;
    const oldTags = this.#tags;
    const capacity = Math.max(ROWS_MIN, nextPowerOfTwo(present.length + 1) * 2);
    this.#rows = new Uint8Array(capacity * ROW_BYTES);
    this.#view = new DataView(this.#rows.buffer);
    this.#index = new Uint32Array(capacity * 2);
    this.#tags = new Map();
    this.#rowCount = 0;
    this.#goneCount = 0;
    for (const row of present) {
      const target = this.#rowCount++;
      this.#rows.set(old.subarray(row * ROW_BYTES, (row + 1) * ROW_BYTES), target * ROW_BYTES);
      const tags = oldTags.get(row);
      if (tags !== undefined) this.#tags.set(target, tags);
      this.#insert(target);
    }
  }

  *#presentRows(): Generator<number> {
    for (let row = 0; row < this.#rowCount; row++) {
      if (this.#rows[row * ROW_BYTES + STATUS_AT] === PRESENT) yield row;
    }
  }
}

/** Ids are hashes already. */
function hashOf(root: Uint8Array): number {
  return (root[0] | (root[1] << 8) | (root[2] << 16) | (root[3] << 24)) >>> 0;
}

function nextPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(value));
}
