import assert from "node:assert/strict";
import type { SnapshotRow } from "../../lib/journal_snapshots.ts";
import { findUnkept } from "../../lib/client/forget.ts";
import { NO_RULES } from "../../lib/client/keep_flags.ts";
import { file, withVault } from "./vault_fixture.ts";

const DAY_MS = 24 * 3600 * 1000;

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
function json(text: string): any[] {
  return text.trim() === "" ? [] : text.trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("client forget, unforget and policy: what is forgotten is held and can come back", async () => {
  await withVault(async (vault) => {
    const first = await vault.snapshot([file("/data", "one")], { tags: ["weekly"] });
    const second = await vault.snapshot([file("/data", "two")]);
    const third = await vault.snapshot([file("/data", "three")]);
    const shown = async (...args: string[]) =>
      json((await vault.run("snapshots", "--json", ...args)).stdout);

    const dry = await vault.run("forget", "--keep-daily", "1", "--dry-run", "--json");
    assert.equal(dry.code, 0, dry.stderr);
    assert.deepEqual(json(dry.stdout).map(({ id }) => id), [first, second]);
    assert.equal((await shown()).length, 3);

    const last = await vault.run("forget", "--keep-last", "3", "--dry-run", "--json");
    assert.deepEqual(json(last.stdout), [], last.stderr);

    const tagged = await vault.run("forget", "--keep-daily", "1", "--keep-tag", "weekly", "--json");
    assert.equal(tagged.code, 0, tagged.stderr);
    const [forgotten, ...more] = json(tagged.stdout);
    assert.deepEqual([forgotten.id, more], [second, []]);
    const heldMs = Date.parse(forgotten.heldUntil) - Date.now();
    assert.ok(Math.abs(heldMs - 7 * DAY_MS) < DAY_MS, "it is held for the default hold");
    assert.deepEqual((await shown()).map(({ id }) => id), [first, third]);
    const all = await shown("--all");
    assert.deepEqual(all.map(({ heldUntil }) => heldUntil), [
      undefined,
      forgotten.heldUntil,
      undefined,
    ]);
    assert.match((await vault.run("snapshots", "--all")).stdout, /forgotten, gone after 20/);

    const again = await vault.run("forget", second.slice(0, 12));
    assert.deepEqual([again.code, /it is forgotten/.test(again.stderr)], [2, true]);
    const back = await vault.run("unforget", second.slice(0, 12), "--json");
    assert.deepEqual(json(back.stdout), [{ event: "unforgotten", id: second }]);
    assert.equal((await shown()).length, 3);
    assert.equal((await vault.run("unforget", second)).code, 2);

    // What a dry run shows is what is then done.
    const would = json(
      (await vault.run("forget", "--keep-yearly", "1", "--dry-run", "--json")).stdout,
    );
    const did = json((await vault.run("forget", "--keep-yearly", "1", "--json")).stdout);
    assert.deepEqual(did.map(({ id }) => id), would.map(({ id }) => id));
    assert.equal((await vault.run("unforget", ...did.map(({ id }) => id))).code, 0);

    const named = await vault.run("forget", "latest", first);
    assert.equal(named.code, 0, named.stderr);
    assert.deepEqual((await shown()).map(({ id }) => id), [second]);
  });
});

Deno.test("client policy shows and sets rules and hold; a shorter hold waits for the longer", async () => {
  await withVault(async (vault) => {
    assert.match((await vault.run("policy")).stdout, /^keep: everything\nhold: 7 days\n$/);
    const set = await vault.run("policy", "--keep-daily", "7", "--keep-last", "2", "--hold", "60d");
    assert.equal(set.stdout, "keep: last 2, daily 7\nhold: 60 days\n", set.stderr);
    const [shorter] = json((await vault.run("policy", "--hold", "2d", "--json")).stdout);
    assert.deepEqual([shorter.holdMs, shorter.holdNowMs], [2 * DAY_MS, 60 * DAY_MS]);
    assert.deepEqual([shorter.keep.daily, shorter.keep.weekly], [7, 0]);
    assert.match((await vault.run("policy", "--keep-all")).stdout, /^keep: everything\n/);
    assert.equal((await vault.run("policy", "--hold", "1h")).code, 2);
    assert.equal((await vault.run("policy", "--keep-all", "--keep-last", "1")).code, 2);
    assert.equal((await vault.run("forget")).code, 2);
    assert.equal((await vault.run("forget", "latest", "--keep-last", "1")).code, 2);
  });
});

Deno.test("findUnkept() keeps the newest where only tags are kept", () => {
  const row = (
    timeMs: number,
    ...tagLabels: Uint8Array[]
  ) => ({ timeMs, tagLabels } as SnapshotRow);
  const tag = new Uint8Array(16).fill(1);
  const group = [row(1), row(2, tag), row(3, new Uint8Array(16)), row(4)];
  const unkept = findUnkept(group, { rules: NO_RULES, labels: [tag] });
  assert.deepEqual(unkept.map(({ timeMs }) => timeMs), [1, 3]);
});
