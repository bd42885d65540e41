/** Parity through the real programs: who asks for it gets it, and damage goes without a client. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { equalBytes } from "../../lib/bytes.ts";
import { runClient } from "../client/run_client.ts";
import { withFolder } from "../folder.ts";
import { listFiles, runServer, ServerProcess, waitUntil } from "../programs.ts";
import { random } from "./fixture.ts";

// deno-lint-ignore no-explicit-any -- JSON of a program, checked by what is asserted of it
const first = (text: string): any => JSON.parse(text.trim().split("\n")[0]);

/** Flips a byte in each pack. */
function rot(packs: string[]): void {
  for (const path of packs) {
    const bytes = Deno.readFileSync(path);
    bytes[Math.floor(bytes.length / 3)] ^= 1;
    Deno.writeFileSync(path, bytes);
  }
}

Deno.test("server serve --parity makes it by itself, and server scrub repairs from it", async () => {
  await withFolder(async (folder) => {
    const dataPath = join(folder, "data");
    const data = ["--data", dataPath, "--json"];
    const args = ["--parity", "5%", "--ops", "127.0.0.1:0"];
    await using server = await ServerProcess.start({ dataPath, args, classic: "off" });
    const { ops, vault } = server.events("listening")[0];
    const invite = await runServer("invite", "--data", dataPath, "--address", String(vault));
    const profile = ["--profile", join(folder, "profile")];
    const client = (...args: string[]) => runClient([...args, ...profile], { cwd: folder });
    const code = ["--recovery-file", join(folder, "code")];
    const made = await client("init", invite.stdout.trim(), "--device", "test", ...code);
    assert.equal(made.code, 0, made.stderr);
    const source = join(folder, "source");
    Deno.mkdirSync(source);
    for (const name of ["a", "b"]) {
      Deno.writeFileSync(join(source, name), random(400_000));
      assert.equal((await client("backup", source)).code, 0);
    }
    const packs = listFiles(join(dataPath, "packs"));
    const paths = packs.map((name) => join(dataPath, "packs", name));
    const whole = paths.map((path) => Deno.readFileSync(path));
    const parity = () => {
      try {
        return listFiles(join(dataPath, "parity"));
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    };
    await waitUntil("all packs have parity", () => parity().join() === packs.join());

    rot(paths);
    const repaired = await runServer("scrub", ...data);
    assert.equal(repaired.code, 0, repaired.stderr);
    const { repaired: count, damaged, damagedInAll } = first(repaired.stdout);
    assert.deepEqual([count > 0, damaged, damagedInAll], [true, 0, 0]);
    paths.forEach((path, i) => assert.ok(equalBytes(Deno.readFileSync(path), whole[i]), path));
    rot(paths); // and who reads it first
    const restored = await client("restore", "latest", "--to", join(folder, "out"), "--verify");
    assert.equal(restored.code, 0, restored.stderr);
    const check = await client("check", "--read-data");
    assert.equal(check.code, 0, check.stdout + check.stderr);

    const usage = first((await runServer("usage", ...data)).stdout);
    const sizes = parity().map((name) => Deno.statSync(join(dataPath, "parity", name)).size);
    assert.equal(usage.parityPacks, packs.length);
    assert.equal(usage.parityBytes, sizes.reduce((a, b) => a + b));
    assert.equal(usage.packBytes, whole.reduce((sum, { length }) => sum + length, 0));
    const metrics = await (await fetch(`http://${ops}/metrics`)).text();
    const value = (name: string) =>
      Number(new RegExp(`^holdfast_${name} (.*)$`, "m").exec(metrics)![1]);
    assert.equal(value("parity_bytes"), usage.parityBytes);
    assert.equal(value("packs_without_parity"), 0);
    assert.ok(value("repaired_records_total") > count);

    const refused = await runServer("parity", "off", ...data);
    assert.deepEqual([refused.code, parity().length], [1, packs.length]);
    assert.match(refused.stderr, /running server makes it/);
    assert.equal(await server.stop(), 0);
  });
});

Deno.test("server parity makes and removes it, beside a server and without one", async () => {
  await withFolder(async (folder) => {
    const dataPath = join(folder, "data");
    const data = ["--data", dataPath, "--json"];
    await using server = await ServerProcess.start({ dataPath, classic: "off" });
    const { vault } = server.events("listening")[0];
    const invite = await runServer("invite", "--data", dataPath, "--address", String(vault));
    const profile = ["--profile", join(folder, "profile")];
    const code = ["--recovery-file", join(folder, "code"), "--device", "test"];
    await runClient(["init", invite.stdout.trim(), ...code, ...profile], { cwd: folder });
    const source = join(folder, "source");
    Deno.mkdirSync(source);
    Deno.writeFileSync(join(source, "file"), random(300_000));
    assert.equal((await runClient(["backup", source, ...profile], { cwd: folder })).code, 0);
    const packs = listFiles(join(dataPath, "packs"));

    const done = async (...args: string[]) => {
      const { code, stdout, stderr } = await runServer("parity", ...args, ...data);
      const { made, removed, without } = first(stdout || `{"made":${JSON.stringify(stderr)}}`);
      return [code, made, removed, without];
    };
    assert.deepEqual(await done("10%"), [0, packs.length, 0, 0]);
    assert.deepEqual(await done("10%"), [0, 0, 0, 0]);
    assert.deepEqual(listFiles(join(dataPath, "parity")), packs);
    assert.deepEqual(await done("off"), [0, 0, packs.length, packs.length]);
    assert.equal(await server.stop(), 0);
    assert.deepEqual(await done("5%"), [0, packs.length, 0, 0]);
    assert.deepEqual(await done("off"), [0, 0, packs.length, packs.length]);
    rot([join(dataPath, "packs", packs[0])]);
    assert.deepEqual(await done("5%"), [3, packs.length - 1, 0, 1]);
  });
});

Deno.test("a share of parity that makes no sense is a usage error", async () => {
  for (const share of ["0%", "51%", "5", "five", "-5%", "5.5%", "100%", ""]) {
    const serving = await runServer("serve", `--parity=${share}`);
    assert.equal(serving.code, 2, share);
    assert.match(serving.stderr, /--parity: .*share[\s\S]*hint: it looks like 5%/);
  }
  assert.equal((await runServer("parity")).code, 2);
  assert.equal((await runServer("parity", "60%")).code, 2);
});
