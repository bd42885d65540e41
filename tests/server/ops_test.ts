/** The port for those who watch the server: the format is parsed strictly, and what it says is compared with what was done. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Metrics } from "../../lib/server/metrics.ts";
import { runClient } from "../client/run_client.ts";
import { withFolder } from "../folder.ts";
import { listFiles, runServer, ServerProcess } from "../programs.ts";
import { random } from "./fixture.ts";

/** Samples by name and label, from a text in format 0.0.4. Throws at whatever is not as the format says. */
function parseMetrics(text: string): Map<string, number> {
  assert.ok(text.endsWith("\n"), "the last line ends");
  const samples = new Map<string, number>();
  const seen = new Set<string>();
  let name = "";
  let type = "";
  let hasHelp = false;
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-z_]+) [^\\]+$/.exec(line);
    if (help) {
      assert.ok(!seen.has(help[1]), `${help[1]} is there once`);
      seen.add(name = help[1]);
      type = "";
      hasHelp = true;
      continue;
    }
    const typed = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line);
    if (typed) {
      assert.deepEqual([typed[1], hasHelp, type], [name, true, ""]);
      type = typed[2];
      assert.equal(type === "counter", name.endsWith("_total"), name);
      continue;
    }
    const sample =
      /^([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/
        .exec(line);
    assert.ok(sample, `this is no sample: ${line}`);
    assert.deepEqual([sample[1], type !== ""], [name, true], line);
    const key = sample[1] + (sample[2] ?? "");
    assert.ok(!samples.has(key), `${key} is there once`);
    samples.set(key, Number(sample[3]));
  }
  return samples;
}

Deno.test("labels are escaped, bounded, and stay one line", () => {
  const metrics = new Metrics();
  for (let n = 0; n < 1000; n++) metrics.add("holdfast_requests_total", `a"\\\n${n}`);
  const text = metrics.format();
  assert.ok(text.includes('{code="a\\"\\\\\\n7"} 1\n'));
  assert.equal(parseMetrics(text).size, 64);
});

Deno.test("/metrics counts what was done, and /healthz names what is wrong", async () => {
  await withFolder(async (folder) => {
    const dataPath = join(folder, "data");
    await using server = await ServerProcess.start({ dataPath, args: ["--ops", "127.0.0.1:0"] });
    const { ops, vault } = server.events("listening")[0];
    const get = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(`http://${ops}${path}`, init);
      return { status: response.status, headers: response.headers, text: await response.text() };
    };
    const before = await get("/metrics");
    assert.equal(before.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.equal(parseMetrics(before.text).get("holdfast_vaults"), 0);
    const healthy = await get("/healthz");
    assert.deepEqual([healthy.status, healthy.text], [200, "ok\n"]);

    const invite = await runServer("invite", "--data", dataPath, "--address", String(vault));
    const profile = ["--profile", join(folder, "profile")];
    const client = (...args: string[]) => runClient([...args, ...profile], { cwd: folder });
    const code = ["--recovery-file", join(folder, "code")];
    const made = await client("init", invite.stdout.trim(), "--device", "test", ...code);
    assert.equal(made.code, 0, made.stderr);
    const source = join(folder, "source");
    Deno.mkdirSync(source);
    Deno.writeFileSync(join(source, "file"), random(300_000));
    assert.equal((await client("backup", source)).code, 0);
    const used = ["init", invite.stdout.trim(), "--device", "other", "--recovery-file", "code2"];
    const again = await runClient([...used, "--profile", "other"], { cwd: folder });
    assert.equal(again.code, 4, again.stderr);
    assert.equal((await runServer("gc", "--data", dataPath)).code, 0);
    await new Promise((resolve) => setTimeout(resolve, 2100)); // older answers are given till then
    const samples = parseMetrics((await get("/metrics")).text);
    const value = (name: string) => samples.get(`holdfast_${name}`);
    const packs = listFiles(join(dataPath, "packs"))
      .map((name) => Deno.statSync(join(dataPath, "packs", name)).size);
    assert.deepEqual([value("vaults"), value("packs"), value("damaged_records")], [
      ...[1, packs.length, 0],
    ]);
    assert.equal(value("pack_bytes"), packs.reduce((a, b) => a + b));
    assert.equal(value('requests_total{code="commit"}'), 1);
    assert.equal(value('requests_refused_total{reason="bad_invite"}'), 1);
    assert.ok(value('received_bytes_total{protocol="vault"}')! > 300_000);
    assert.ok(value('sent_bytes_total{protocol="vault"}')! > 1000);
    assert.equal(value('connections{protocol="vault"}'), 0);
    assert.ok(value('connections_total{protocol="vault"}')! >= 3);
    assert.ok(value('upkeep_last_timestamp_seconds{work="collection"}')! > Date.now() / 1000 - 60);
    assert.deepEqual([value("disk_full"), value("clock_stopped")], [0, 0]);
    assert.ok(value("process_resident_bytes")! > 10_000_000);

    assert.equal((await get("/metrics", { method: "POST" })).status, 405);
    assert.equal((await get("/")).status, 404);
    using db = new DatabaseSync(join(dataPath, "holdfast.db"), { timeout: 5000 });
    const set = db.prepare("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)");
    set.run("clock.stepped", "forward by 7200 s");
    const stopped = await get("/healthz");
    assert.equal(stopped.status, 503);
    assert.equal(stopped.text, "clock was set forward by 7200 s: nothing expires\n");
    set.run("clock.stepped", "");
    Deno.renameSync(join(dataPath, "holdfast.lock"), join(dataPath, "away"));
    const broken = await get("/healthz");
    assert.deepEqual([broken.status, /^data folder cannot be written/.test(broken.text)], [
      ...[503, true],
    ]);
    Deno.renameSync(join(dataPath, "away"), join(dataPath, "holdfast.lock"));
    assert.equal((await get("/healthz")).status, 200);
    assert.equal(await server.stop(), 0);
  });
});
