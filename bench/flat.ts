/**
 * Memory that does not grow: the most that a real client and a real server have for few and many files, and for a small and
 * a large one. Each with a server of its own, so that its peak is that of one backup.
 */
import { join } from "node:path";
import { makeNoiseFile, makeTree } from "./corpora.ts";
import { measure, median, readPeakBytes } from "./measure.ts";
import { startHoldfast } from "./peers.ts";
import type { Row } from "./table.ts";

const MIB = 1024 * 1024;
const APART_MIB_MAX = 64;
/** Mean size of the files of a tree, bytes. */
const FILE_BYTES = 4000;
/**
 * The last one of each is scaled, and the others compared with it. A thousand files are done by the main thread; from some
 * thousand on there are workers, and a large file has some.
 */
const SOURCES = [
  {
    what: "files",
    sizes: [1000, 20_000, 300_000],
    name: (n: number) => `${n.toLocaleString("en")} files`,
  },
  { what: "large", sizes: [100e6, 5e9], name: (n: number) => `one file of ${n / 1e6} MB` },
] as const;

interface Peaks {
  client: number;
  server: number;
}

export async function benchFlat(
  { rounds, scale }: { rounds: number; scale: number },
): Promise<Row[]> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
  try {
    const rows: Row[] = [];
    for (const { what, sizes: full, name } of SOURCES) {
      const smaller: number[] = full.slice(0, -1);
      const sizes = [...smaller, Math.max(smaller.at(-1)!, Math.round(full.at(-1)! * scale))];
      const sources = sizes.map((size, n) => makeSource(join(folder, `${what} ${n}`), what, size));
      const peaks: Peaks[][] = sizes.map(() => []);
      for (let round = 0; round < rounds; round++) {
        for (const [n, source] of sources.entries()) {
          const own = join(folder, `${what} ${n} ${round}`);
          peaks[n].push(await backUp(own, source));
          Deno.removeSync(own, { recursive: true });
        }
      }
      const last = { name: name(sizes.at(-1)!), peaks: peaks.at(-1)! };
      for (const [n, size] of smaller.entries()) {
        rows.push(compare({ name: name(size), peaks: peaks[n] }, last));
      }
      for (const source of sources) Deno.removeSync(source, { recursive: true });
    }
    return rows;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function makeSource(path: string, what: "files" | "large", size: number): string {
  if (what === "large") makeNoiseFile(path, size);
  else makeTree(path, { files: size, bytes: size * FILE_BYTES, seed: 1 });
  return path;
}

async function backUp(folder: string, source: string): Promise<Peaks> {
  Deno.mkdirSync(folder);
  const place = await startHoldfast(folder);
  try {
    const repository = await place.open("flat");
    const { peakBytes } = await measure(repository.backup(source));
    return { client: peakBytes, server: readPeakBytes(place.pid!) };
  } finally {
    await place.stop();
  }
}

/** What all rounds of one source have needed. */
interface Measured {
  name: string;
  peaks: Peaks[];
}

function compare(small: Measured, large: Measured): Row {
  const mib = (peaks: Peaks[], of: keyof Peaks) => median(peaks.map((peak) => peak[of])) / MIB;
  const cells = (["client", "server"] as const).map((of) => {
    const [a, b] = [mib(small.peaks, of), mib(large.peaks, of)];
    return [
      [of, `${a.toFixed(0)} and ${b.toFixed(0)} MiB`],
      [`${of} apart`, `${(b - a).toFixed(0)} MiB`],
    ];
  });
  return {
    compared: `${small.name}, ${large.name}`,
    ...Object.fromEntries(cells.flat()),
    goal: `< ${APART_MIB_MAX} MiB`,
  };
}
