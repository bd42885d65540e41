/** Property-based tests whose seed is always printed, so that any run can be repeated. */
import fc from "fast-check";

/** Runs a property. `HOLDFAST_SEED=<number>` repeats a run, as the failure message says. */
export function check(property: fc.IProperty<unknown>, runs = 200): void {
  fc.assert(property, parameters(runs));
}

/** The same for properties whose predicate is asynchronous. */
export async function checkAsync(property: fc.IAsyncProperty<unknown>, runs = 50): Promise<void> {
  await fc.assert(property, parameters(runs));
}

/** The seed of this run: given, or from the clock; printed. */
export function drawSeed(): number {
  const given = Deno.env.get("HOLDFAST_SEED");
  const seed = given === undefined ? Date.now() & 0x7fffffff : Number(given);
  console.log(`seed ${seed} (repeat with HOLDFAST_SEED=${seed})`);
  return seed;
}

function parameters(runs: number): fc.Parameters<unknown> {
  return { seed: drawSeed(), numRuns: runs };
}
