/** What parity costs: for a pack of the usual size, made of records, to make it, to look at it, and to repair from it. */
import { randomFillSync } from "node:crypto";
import { concatBytes } from "../lib/bytes.ts";
import { STORE } from "../lib/limits.ts";
import { encodeRecordHeader, recordId, RecordType } from "../lib/record.ts";
import {
  encodePackHeader,
  encodePackPrefix,
  encodePackTrailer,
  PACK_HEADER_BYTES,
  PACK_PREFIX_BYTES,
} from "../lib/server/pack_format.ts";
import { checkWholePack } from "../lib/server/pack_reader.ts";
import { findWrongBlocks, makeParity, recoverBlocks } from "../lib/server/parity_blocks.ts";
import { decodeParity } from "../lib/server/parity_format.ts";
import { megabytesPerSecond, type Row } from "./table.ts";

const RECORD_BYTES = 1 << 20;
const ROUNDS = 9;
const PERCENTS = [1, 5, 10, 50];

const vaultId = new Uint8Array(32);
const pause = () => Promise.resolve();

export async function benchParity(): Promise<Row[]> {
  const pack = makePack();
  const name = "01a20d957943-62770011";
  const rows: Row[] = [];
  rows.push(
    await measure("compare all records", pack, () => checkWholePack(pack, { vaultId, pause })),
  );
  for (const percent of PERCENTS) {
    const make = () => makeParity(pack, { vaultId, name, percent, pause });
    const file = await make();
    const size = `${(100 * file.length / pack.length).toFixed(1)} % of the pack`;
    rows.push({ ...await measure(`make, ${percent} %`, pack, make), size });
    const parity = decodeParity(file);
    if (percent !== 5) continue;
    rows.push(await measure("look for damage", pack, () => findWrongBlocks(pack, parity, pause)));
    const lost = parity.blocks.length;
    rows.push(
      await measure("repair a loss of 5 %", pack, async () => {
        const spoiled = pack.slice().fill(0, 0, lost);
        const wrong = await findWrongBlocks(spoiled, parity, pause);
        if (!(await recoverBlocks(spoiled, { ...parity, wrong, pause }))) throw new Error("lost");
      }),
    );
  }
  return rows;
}

/** As large as the server makes them. */
function makePack(): Uint8Array {
  const parts: Uint8Array[] = [encodePackHeader(vaultId)];
  const entries = [];
  let offset = PACK_HEADER_BYTES;
  while (offset + PACK_PREFIX_BYTES + RECORD_BYTES < STORE.packBytes) {
    const body = randomFillSync(new Uint8Array(RECORD_BYTES - 100));
    const bytes = concatBytes(encodeRecordHeader({ type: RecordType.DATA, links: [] }), body);
    const entry = {
      id: recordId(bytes),
      type: RecordType.DATA,
      offset: offset + PACK_PREFIX_BYTES,
      size: bytes.length,
    };
    parts.push(encodePackPrefix(entry), bytes);
    entries.push(entry);
    offset = entry.offset + entry.size;
  }
  return concatBytes(...parts, encodePackTrailer(vaultId, entries));
}

/** The median of some rounds, after two to warm up. */
async function measure(what: string, pack: Uint8Array, work: () => Promise<unknown>): Promise<Row> {
  const times: number[] = [];
  for (let round = -2; round < ROUNDS; round++) {
    const start = performance.now();
    await work();
    if (round >= 0) times.push(performance.now() - start);
  }
  const ms = times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)];
  return {
    what,
    time: `${ms.toFixed(0)} ms`,
    speed: megabytesPerSecond(pack.length, ms),
    size: "",
  };
}
