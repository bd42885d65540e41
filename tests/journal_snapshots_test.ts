import assert from "node:assert/strict";
import fc from "fast-check";
import { SnapshotTable } from "../lib/journal_snapshots.ts";
import { check } from "./property.ts";

/** Roots whose first bytes often agree, so that look-ups meet. */
function rootOf(n: number): Uint8Array {
  const root = new Uint8Array(32);
  root[0] = n % 3;
  root[31] = n;
  return root;
}

Deno.test("SnapshotTable behaves as a map in order of insertion", () => {
  const command = fc.record({ n: fc.nat({ max: 120 }), remove: fc.boolean() });
  check(fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
    const table = new SnapshotTable();
    const model = new Map<number, number>();
    let number = 0;
    for (const { n, remove } of commands) {
      const root = rootOf(n);
      assert.equal(table.has(root), model.has(n));
      if (model.has(n) && remove) {
        table.remove(root);
        model.delete(n);
      } else if (model.has(n)) table.setHold(root, 5);
      else {
        model.set(n, ++number);
        const tagLabels = n % 2 ? [new Uint8Array(16).fill(n)] : [];
        const fields = { setLabel: new Uint8Array(16), timeMs: n, device: 3, holdUntilMs: 0 };
        table.add({ root, tagLabels, number, ...fields });
      }
    }
    assert.equal(table.size, model.size);
    const rows = [...table];
    assert.deepEqual(rows.map((row) => [row.root[31], row.number]), [...model]);
    for (const row of rows) assert.equal(row.tagLabels.length, row.root[31] % 2);
  }));
});
