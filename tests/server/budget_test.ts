import assert from "node:assert/strict";
import { Budget, takeRoom } from "../../lib/server/budget.ts";

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

Deno.test("takeRoom() lets nobody wait behind a vault that has used up its own room", async () => {
  const [all, greedy, other] = [new Budget(10), new Budget(4), new Budget(4)];
  const first = await takeRoom(4, [greedy, all]);
  let isServed = false;
  const second = takeRoom(4, [greedy, all]).then((share) => {
    isServed = true;
    return share;
  });
  (await takeRoom(4, [other, all])).release();
  (await takeRoom(1, [])).release();
  assert.equal(isServed, false);
  first.release();
  (await second).release();
  (await all.take(10)).release();
});
