/** HAS at the server's store itself: how long an answer about 4096 ids takes when few, and when many, are stored. */
import { join } from "node:path";
import { FolderBlobs } from "../lib/blobs.ts";
import { Database } from "../lib/db.ts";
import { RecordDatabase } from "../lib/db_records.ts";
import { VaultDatabase } from "../lib/db_vault.ts";
import { Log } from "../lib/log.ts";
import { RECORD_ID_BYTES, RecordType } from "../lib/record.ts";
import { Completeness } from "../lib/server/completeness.ts";
import { RecordReader } from "../lib/server/record_reader.ts";
import { median } from "./measure.ts";
import type { Row } from "./table.ts";

const SIZES = [10_000, 1_000_000];
const PACK_RECORDS = 8192;
const ASKED = 4096;
const TIMES = 25;

export async function benchHas({ scale }: { scale: number }): Promise<Row[]> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
  try {
    const stores: Store[] = [];
    for (const size of SIZES) stores.push(await makeStore(folder, Math.ceil(size * scale)));
    const times = stores.map(() => [] as number[]);
    for (let i = 0; i < TIMES; i++) {
      for (const [n, store] of stores.entries()) times[n].push(await ask(store));
    }
    for (const { database } of stores) database.close();
    const base = median(times[0]);
    return stores.map(({ size }, n) => ({
      stored: size.toLocaleString("en"),
      "4096 ids": `${median(times[n]).toFixed(1)} ms`,
      ratio: (median(times[n]) / base).toFixed(2),
      goal: n === 0 ? "-" : "<= 1.5",
    }));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

interface Store {
  size: number;
  database: Database;
  completeness: Completeness;
  ids: Uint8Array[];
}

async function makeStore(folder: string, size: number): Promise<Store> {
  const database = Database.open(join(folder, `${size}.db`));
  const records = new RecordDatabase(database.sql);
  const id = crypto.getRandomValues(new Uint8Array(RECORD_ID_BYTES));
  const { number: vaultNumber } = await new VaultDatabase(database.sql).addVault(id);
  const ids: Uint8Array[] = [];
  for (let left = size; left > 0;) {
    const count = Math.min(left, PACK_RECORDS);
    const entries = Array.from({ length: count }, (_, i) => ({
      id: crypto.getRandomValues(new Uint8Array(RECORD_ID_BYTES)),
      ...{ type: RecordType.DATA, offset: i * 16, size: 16 },
    }));
    ids.push(...entries.map((entry) => entry.id));
    await records.addPack(vaultNumber, { name: `${left}`, bytes: count * 16, entries });
    left -= count;
  }
  const blobs = await FolderBlobs.open(join(folder, `packs ${size}`));
  const log = new Log({ format: "text", sink: Deno.stderr, now: Date.now });
  const reader = new RecordReader({
    ...{ vault: { id, number: vaultNumber }, records, blobs, log },
    heal: () => Promise.resolve(false),
  });
  return { size, database, completeness: new Completeness({ vaultNumber, records, reader }), ids };
}

/** Half of what is asked for is there. */
async function ask({ completeness, ids }: Store): Promise<number> {
  const asked = Array.from(
    { length: ASKED },
    (_, i) =>
      i % 2 === 0
        ? ids[Math.floor(Math.random() * ids.length)]
        : crypto.getRandomValues(new Uint8Array(RECORD_ID_BYTES)),
  );
  const start = performance.now();
  const answers = await completeness.check(asked);
  const ms = performance.now() - start;
  if (answers.some((answer, i) => answer !== (i % 2 === 0))) throw new Error("HAS is wrong");
  return ms;
}
