/**
 * A vault with very many small records, made in the store itself: records and links as backups leave them, commits and
 * forgets in its journal, all of a time whose hold has passed. What is in the records is noise, which only the server's side
 * does not mind.
 */
import { EventKind } from "../lib/journal.ts";
import { encodeCommit } from "../lib/journal_body.ts";
import { RECORD_ID_BYTES, RecordType } from "../lib/record.ts";
import { makeRecord, type TestRecord } from "../tests/server/fixture.ts";
import { DAY_MS, StoreBench, type TestDevice } from "../tests/server/store_bench.ts";

/** How long ago all of it was made: longer than the hold. */
const AGE_MS = 40 * DAY_MS;
const RECORD_BYTES = 400;
const PUT_TOGETHER = 8192;

/** Data records that a segment links, and those of them that are new when it changes. */
const SEGMENT_LINKS = 250;
const CHANGED_LINKS = 45;
/** Segments that an index record links. */
const INDEX_LINKS = 100;
/** Share of the segments that a backup changes. */
const CHANGED_SHARE = 0.01;

/** At scale 1: a million records, and 500 snapshots in force. */
const KEPT = { segments: 1600, snapshots: 555, inForce: 480 };
const RETIRED = { segments: 600, snapshots: 25, inForce: 0 };
/** Small trees, each in one pack with what an interrupted backup has left. */
const SMALL = { count: 20, interrupted: 500 };

export interface ManyRecords {
  vaultId: Uint8Array;
  snapshots: number;
  forgotten: number;
  ids: RecordIds;
}

/** Ids of all records in the order of their making, and which of them the snapshots in force need. */
export class RecordIds {
  #ids = new Uint8Array(1024 * RECORD_ID_BYTES);
  #needed = new Uint8Array(1024);
  count = 0;

  add({ id }: TestRecord): number {
    if (this.count === this.#needed.length) {
      const [ids, needed] = [this.#ids, this.#needed];
      this.#ids = new Uint8Array(ids.length * 2);
      this.#ids.set(ids);
      this.#needed = new Uint8Array(needed.length * 2);
      this.#needed.set(needed);
    }
    this.#ids.set(id, this.count * RECORD_ID_BYTES);
    return this.count++;
  }

  need(number: number): void {
    this.#needed[number] = 1;
  }

  isNeeded(number: number): boolean {
    return this.#needed[number] === 1;
  }

  id(number: number): Uint8Array {
    return this.#ids.subarray(number * RECORD_ID_BYTES, (number + 1) * RECORD_ID_BYTES);
  }

  countNeeded(): number {
    return this.#needed.subarray(0, this.count).reduce((sum, flag) => sum + flag, 0);
  }
}

/** @param folder data folder of a server, new */
export async function makeManyRecords(folder: string, scale: number): Promise<ManyRecords> {
  const bench = new StoreBench(folder);
  bench.clock.shiftMs = -AGE_MS;
  await bench.open();
  try {
    const ids = new RecordIds();
    const device = await bench.member();
    const forgotten: TestRecord[] = [];
    let snapshots = 0;
    for (const tree of [KEPT, RETIRED]) {
      const sizes = {
        segments: Math.max(1, Math.round(tree.segments * scale)),
        snapshots: Math.max(2, Math.round(tree.snapshots * scale)),
        inForce: Math.round(tree.inForce * scale),
      };
      const roots = await new Tree(bench, device, ids).make(sizes);
      forgotten.push(...roots.slice(0, roots.length - sizes.inForce));
      snapshots += roots.length;
    }
    for (let n = 0; n < Math.ceil(SMALL.count * scale); n++) {
      const left = makeData(SMALL.interrupted);
      const sizes = { segments: 1, snapshots: 1, inForce: 1 };
      await new Tree(bench, device, ids).make(sizes, left);
      snapshots++;
    }
    await device.close();
    await bench.forget(...forgotten);
    return { vaultId: bench.vault.id, snapshots, forgotten: forgotten.length, ids };
  } finally {
    await bench.close();
  }
}

/** A record with its place among all ids. */
interface Numbered {
  record: TestRecord;
  number: number;
}

interface Segment extends Numbered {
  data: Numbered[];
  sessions: Numbered[];
}

/** What one device backs up again and again. */
class Tree {
  readonly #bench: StoreBench;
  readonly #device: TestDevice;
  readonly #ids: RecordIds;
  readonly #segments: Segment[] = [];
  readonly #indexes: Numbered[] = [];
  #nextChanged = 0;

  constructor(bench: StoreBench, device: TestDevice, ids: RecordIds) {
    this.#bench = bench;
    this.#device = device;
    this.#ids = ids;
  }

  /**
   * Makes the snapshots. Gives their roots.
   *
   * @param left records that nothing needs, in the first pack
   */
  async make(
    { segments, snapshots, inForce }: { segments: number; snapshots: number; inForce: number },
    left: TestRecord[] = [],
  ): Promise<TestRecord[]> {
    const roots: TestRecord[] = [];
    await this.#put(left);
    for (let n = 0; n < snapshots; n++) {
      const session = makeRecord(RecordType.SESSION, [], RECORD_BYTES);
      await this.#put([session]);
      const numbered = { record: session, number: this.#ids.count - 1 };
      const changed = n === 0 ? range(0, segments) : this.#choose(segments);
      for (const at of changed) await this.#change(at, numbered);
      roots.push(await this.#commit(numbered, { changed, isKept: n >= snapshots - inForce }));
    }
    return roots;
  }

  /** Those that are next in line, spread over all index records. */
  #choose(segments: number): number[] {
    const count = Math.max(1, Math.round(segments * CHANGED_SHARE));
    return range(0, count).map(() => this.#nextChanged = (this.#nextChanged + 7919) % segments);
  }

  async #change(at: number, session: Numbered): Promise<void> {
    const old = this.#segments[at] as Segment | undefined;
    const made = await this.#put(makeData(old === undefined ? SEGMENT_LINKS : CHANGED_LINKS));
    const data = [...made, ...old?.data.slice(0, SEGMENT_LINKS - made.length) ?? []];
    const sessions = [...old?.sessions ?? [], session];
    const links = [...sessions, ...data].map(({ record }) => record);
    const [segment] = await this.#put([makeRecord(RecordType.SEGMENT, links, RECORD_BYTES)]);
    this.#segments[at] = { ...segment, data, sessions };
  }

  async #commit(
    session: Numbered,
    { changed, isKept }: { changed: number[]; isKept: boolean },
  ): Promise<TestRecord> {
    for (const at of new Set(changed.map((segment) => Math.floor(segment / INDEX_LINKS)))) {
      const below = this.#segments.slice(at * INDEX_LINKS, (at + 1) * INDEX_LINKS);
      const links = below.map(({ record }) => record);
      [this.#indexes[at]] = await this.#put([makeRecord(RecordType.INDEX, links, RECORD_BYTES)]);
    }
    const links = this.#indexes.map(({ record }) => record);
    const [top] = await this.#put([makeRecord(RecordType.INDEX, links, RECORD_BYTES)]);
    const [root] = await this.#put([
      makeRecord(RecordType.ROOT, [session.record, top.record], RECORD_BYTES),
    ]);
    if (isKept) this.#need([session, top, root]);
    await this.#flush();
    const setLabel = new Uint8Array(16);
    const body = encodeCommit({ root: root.record.id, setLabel, tagLabels: [] });
    await this.#bench.append(EventKind.COMMIT, body);
    return root.record;
  }

  #need(above: Numbered[]): void {
    for (const { number } of [...above, ...this.#indexes]) this.#ids.need(number);
    for (const segment of this.#segments) {
      if (this.#ids.isNeeded(segment.number)) continue; // and so is what it links
      for (const { number } of [segment, ...segment.sessions, ...segment.data]) {
        this.#ids.need(number);
      }
    }
  }

  #waiting: TestRecord[] = [];

  async #put(records: TestRecord[]): Promise<Numbered[]> {
    this.#waiting.push(...records);
    const numbered = records.map((record) => ({ record, number: this.#ids.add(record) }));
    if (this.#waiting.length >= PUT_TOGETHER) await this.#flush();
    return numbered;
  }

  /** As a backup does: a pack ends with it. */
  async #flush(): Promise<void> {
    await this.#device.put(...this.#waiting);
    this.#waiting = [];
  }
}

function makeData(count: number): TestRecord[] {
  return range(0, count).map(() => makeRecord(RecordType.DATA, [], RECORD_BYTES));
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}
