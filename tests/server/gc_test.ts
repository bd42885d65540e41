/** `server gc`, beside a running server and without one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { checkContents, withBackupBench } from "../client/backup_fixture.ts";
import { runClient } from "../client/run_client.ts";
import { withFolder } from "../folder.ts";
import { runServer } from "../programs.ts";

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
function json(text: string): any[] {
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("server gc deletes what an interrupted backup left, and nothing of a held snapshot", async () => {
  await withBackupBench(async (bench) => {
    const { server, source, profile, folder } = bench;
    Deno.writeTextFileSync(join(source, "file"), "one");
    const first = await bench.backup();
    assert.equal(first.code, 0, first.stderr);
    Deno.writeTextFileSync(join(source, "file"), "two");
    const second = await bench.backup();
    assert.equal(second.code, 0, second.stderr);
    const forgotten = await runClient(["forget", first.summary.snapshot, "--profile", profile], {
      cwd: folder,
    });
    assert.equal(forgotten.code, 0, forgotten.stderr);
    const data = ["--data", server.dataPath];
    const beside = await runServer("gc", ...data, "--json");
    assert.equal(beside.code, 0, beside.stderr);
    const [{ event, vault, dropped, deleted }] = json(beside.stdout);
    assert.deepEqual([event, dropped, deleted], ["collected", 0, 0]);
    const named = await runServer("gc", ...data, "--vault", vault.slice(0, 6));
    assert.match(named.stdout, /^[0-9a-f]{12} {2}0 snapshots dropped, 0 records deleted/);
    assert.equal((await runServer("gc", ...data, "--vault", "zz")).code, 2);
    const [old, young] = json((await runServer("snapshots", ...data, "--json")).stdout);
    assert.deepEqual([old.id, young.id], [first.summary.snapshot, second.summary.snapshot]);
    assert.deepEqual([old.vault, young.heldUntil], [vault, undefined]);
    assert.ok(Date.parse(old.heldUntil) > Date.now());
    assert.match((await runServer("snapshots", ...data)).stdout, /\(forgotten, gone after 20/);
    await server.stop();
    const alone = await runServer("gc", ...data, "--json");
    assert.equal(alone.code, 0, alone.stderr);
    assert.equal(json(alone.stdout)[0].vault, vault);
    await server.start();
    await checkContents(bench, second.summary.snapshot);
    const restore = ["restore", first.summary.snapshot, "--to", join(folder, "out")];
    const restored = await runClient([...restore, "--profile", profile], { cwd: folder });
    assert.equal(restored.code, 0, restored.stderr);
    assert.equal(Deno.readTextFileSync(join(folder, "out", source, "file")), "one");
  });
});

Deno.test("server gc names a folder that no server has used", async () => {
  await withFolder(async (folder) => {
    const { code, stderr } = await runServer("gc", "--data", join(folder, "none"));
    assert.deepEqual([code, /no server has used it/.test(stderr)], [1, true]);
    assert.match((await runServer("gc", "--help")).stdout, /--confirm-clock/);
  });
});
