/** What a table of a fixed size remembers of what it was given. */
import assert from "node:assert/strict";
import { concatBytes } from "../../lib/bytes.ts";
import { SeenIds } from "../../lib/server/seen_ids.ts";
import { random } from "./fixture.ts";

Deno.test("SeenIds never says that it has seen what it has not, however full it is", () => {
  const seen = new SeenIds(64);
  const given = new Set<string>();
  let known = 0;
  const ids = Array.from({ length: 200 }, () => random(32));
  // Those of the same place differ in one byte only, each in another.
  for (const id of ids.slice(0, 32)) {
    for (let at = 0; at < 32; at++) ids.push(id.map((byte, i) => i === at ? byte ^ 128 : byte));
  }
  ids.push(new Uint8Array(32), new Uint8Array(32).fill(255));
  for (let round = 0; round < 3; round++) {
    for (const id of ids) {
      const fresh = seen.addAll(concatBytes(new Uint8Array(0), id));
      const wasGiven = given.has(id.toHex());
      if (fresh.length === 0) {
        assert.ok(wasGiven, `${id.toHex()} was never given`);
        known++;
      } else assert.deepEqual(fresh, id);
      assert.equal(seen.addAll(id).length, 0); // the newest is always there
      given.add(id.toHex());
    }
  }
  assert.ok(known > 0);
  seen.clear();
  assert.equal(seen.addAll(ids.at(-3)!).length, 32);
});

Deno.test("SeenIds gives what is fresh among many, in order and once, whatever they are a view of", () => {
  const seen = new SeenIds(1024);
  const [a, b, c] = [random(32), random(32), random(32)];
  const bytes = concatBytes(random(5), a, b, a, c);
  assert.deepEqual(seen.addAll(bytes.subarray(5)), concatBytes(a, b, c));
  assert.deepEqual(bytes.subarray(5), concatBytes(a, b, a, c));
  assert.deepEqual(seen.addAll(concatBytes(c, b)), new Uint8Array(0));
});
