import { withFolder } from "../folder.ts";
import { runKills } from "./kill_run.ts";

Deno.test("what was acknowledged outlives kill -9 of server and client", async () => {
  const seed = Number(Deno.env.get("HOLDFAST_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  const lines: string[] = [];
  await withFolder(async (folder) => {
    try {
      const note = (line: string) => void lines.push(line);
      await runKills({ folder, seed, rounds: 5, restoreEvery: 100, note });
    } catch (error) {
      console.error(`HOLDFAST_SEED=${seed}\n${lines.join("\n")}`);
      throw error;
    }
  });
});
