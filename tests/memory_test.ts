import assert from "node:assert/strict";
import { MemoryKeeper } from "../lib/memory.ts";

const MIB = 1024 * 1024;
const GROWTH_BYTES_MAX = 4 * MIB;
/** With less the engine begins no collection, whatever it is told. */
const GARBAGE_BYTES = 32 * MIB;
const TURNS = 50;
/** Made and forgotten in each turn: the engine does nothing for a program that does nothing. */
const TURN_BYTES = MIB / 16;

Deno.test("garbage is collected when the heap has grown", async () => {
  const memory = new MemoryKeeper(GROWTH_BYTES_MAX);
  memory.check();
  const garbage = leaveGarbage();
  memory.check();
  assert.ok(await isCollected(garbage));
});

Deno.test("a collection begins once for each growth, and not for buffers that are in use", () => {
  let begun = 0;
  const memory = new MemoryKeeper(GROWTH_BYTES_MAX, () => void begun++);
  memory.check();
  const buffer = new Uint8Array(2 * GROWTH_BYTES_MAX);
  memory.check({ liveBytes: buffer.length });
  assert.equal(begun, 0);
  memory.check();
  memory.check();
  assert.equal(begun, 1);
  const another = new Uint8Array(2 * GROWTH_BYTES_MAX);
  memory.check();
  assert.equal(begun, 2);
  assert.equal(buffer.length, another.length); // both are still there
});

/** Objects that nobody needs, and a way to be told when they are gone. */
function leaveGarbage(): { isGone: boolean; registry: FinalizationRegistry<undefined> } {
  const garbage = Array.from({ length: GARBAGE_BYTES / MIB }, () => makeNumbers(MIB));
  const state = { isGone: false, registry: new FinalizationRegistry(() => state.isGone = true) };
  state.registry.register(garbage, undefined);
  return state;
}

async function isCollected(garbage: { isGone: boolean }): Promise<boolean> {
  for (let turn = 0; turn < TURNS && !garbage.isGone; turn++) {
    makeNumbers(TURN_BYTES);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return garbage.isGone;
}

/** Numbers in the engine's heap. */
function makeNumbers(bytes: number): number[] {
  return new Array<number>(bytes / Float64Array.BYTES_PER_ELEMENT).fill(0.5);
}
