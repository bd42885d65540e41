import assert from "node:assert/strict";
import { Budget } from "../../lib/server/budget.ts";

Deno.test("Budget gives what there is, in the order of asking", async () => {
  const budget = new Budget(10);
  const order: string[] = [];
  const first = await budget.take(6);
  const large = budget.take(8).then((share) => {
    order.push("large");
    return share;
  });
  const small = budget.take(1).then((share) => {
    order.push("small"); // there would be room, but it came later
    return share;
  });
  await Promise.resolve();
  assert.deepEqual(order, []);
  first.release();
  first.release();
  await Promise.all([large, small]);
  assert.deepEqual(order, ["large", "small"]);
  (await large).release();
  (await small).release();
  (await budget.take(10)).release();
});
