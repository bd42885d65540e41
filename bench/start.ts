/** How long the client takes to start and say what it can do. */
import { measure, median } from "./measure.ts";
import { client } from "./peers.ts";
import type { Row } from "./table.ts";

const TIMES = 15;

export async function benchStart(): Promise<Row[]> {
  const seconds: number[] = [];
  await measure(client("--help"));
  for (let i = 0; i < TIMES; i++) seconds.push((await measure(client("--help"))).seconds);
  return [{
    what: "client --help",
    median: `${(median(seconds) * 1000).toFixed(0)} ms`,
    worst: `${(Math.max(...seconds) * 1000).toFixed(0)} ms`,
    goal: "<= 150 ms",
  }];
}
