/** `deno task demo`: the system at work, with the real programs on this machine, in a temporary folder. */
import { join } from "node:path";
import { describeError } from "../lib/errors.ts";
import { demoClassic } from "./classic.ts";
import { say } from "./stage.ts";
import { demoVault } from "./vault.ts";

const folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "holdfast-demo-" }));
let exitCode = 1;
try {
  await demoClassic(join(folder, "classic"));
  await demoVault(join(folder, "vault"));
  say(`the demo is over, and its folder ${folder} is removed`);
  exitCode = 0;
} catch (error) {
  say(`THE DEMO FAILED: ${describeError(error)}`);
} finally {
  Deno.removeSync(folder, { recursive: true });
}
Deno.exit(exitCode);
