/**
 * Scrub of a store without a running server, so that nothing holds it back, against `sha256sum` of the same packs in the
 * same rounds. What is scrubbed was backed up by a real client, and lies in the system's cache.
 */
import { join } from "node:path";
import { makeNoiseFile, makeTree } from "./corpora.ts";
import { measure, median, output } from "./measure.ts";
import { server, startHoldfast } from "./peers.ts";
import { megabytesPerSecond, type Row } from "./table.ts";

const TREE = { files: 40_000, bytes: 560e6, seed: 1 };
const LARGE_BYTES = 1e9;
const GOAL = 0.8;

export async function benchScrub(
  { rounds, scale }: { rounds: number; scale: number },
): Promise<Row[]> {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-bench-" });
  try {
    const packs = await makeStore(folder, scale);
    const bytes = packs.reduce((sum, path) => sum + Deno.statSync(path).size, 0);
    const scrub = server("scrub", "--data", join(folder, "data"), "--json");
    const { records } = JSON.parse(await output(scrub));
    const sum = { command: "sha256sum", args: packs };
    await measure(sum);
    const seconds = { scrub: [] as number[], sum: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      seconds.scrub.push((await measure(scrub)).seconds);
      seconds.sum.push((await measure(sum)).seconds);
    }
    const speed = (all: number[]) => megabytesPerSecond(bytes, median(all) * 1000);
    return [{
      packs: `${packs.length}`,
      records: `${records}`,
      bytes: `${(bytes / 1e6).toFixed(0)} MB`,
      "server scrub": speed(seconds.scrub),
      sha256sum: speed(seconds.sum),
      ratio: (median(seconds.sum) / median(seconds.scrub)).toFixed(2),
      goal: `>= ${GOAL}`,
    }];
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Backs small files and a large one up. Gives the paths of the packs. */
async function makeStore(folder: string, scale: number): Promise<string[]> {
  const source = join(folder, "source");
  makeTree(source, { ...TREE, files: TREE.files * scale, bytes: TREE.bytes * scale });
  makeNoiseFile(join(source, "large"), Math.ceil(LARGE_BYTES * scale));
  const place = await startHoldfast(folder);
  const repository = await place.open("scrub");
  await measure(repository.backup(source));
  await place.stop();
  const root = join(place.data, "packs");
  return Array.from(Deno.readDirSync(root)).flatMap(({ name }) =>
    Array.from(Deno.readDirSync(join(root, name)), (pack) => join(root, name, pack.name))
  );
}
