import assert from "node:assert/strict";
import { dir, file, link, withVault } from "./vault_fixture.ts";

function lines(text: string): string[] {
  return text.trimEnd().split("\n");
}

function json(text: string): Record<string, unknown>[] {
  return text === "" ? [] : lines(text).map((line) => JSON.parse(line));
}

Deno.test("snapshots, ls, find and diff show what is in a vault", async () => {
  await withVault(async (vault) => {
    const base = [
      dir("/data"),
      dir("/data/pictures"),
      file("/data/pictures/one.jpg", "first picture"),
      file("/data/pictures/two.JPG", "second"),
      dir("/data/pictures.old"),
      file("/data/pictures.old/three.jpg", "third"),
      file("/data/note\u001b[31m.txt", "odd name"),
      link("/data/way", "pictures/one.jpg"),
    ];
    const first = await vault.snapshot(base, { tags: ["weekly"], host: "alpha" });
    const second = await vault.snapshot([
      ...base.filter(({ path }) => !path.endsWith("two.JPG") && !path.endsWith("one.jpg")),
      file("/data/pictures/one.jpg", "first picture, changed", { mtimeMs: 5 }),
      file("/data/new", "n"),
    ]);

    const table = await vault.run("snapshots");
    assert.equal(table.code, 0, table.stderr);
    const rows = lines(table.stdout);
    assert.equal(rows.length, 3);
    assert.match(
      rows[1],
      new RegExp(`^${first.slice(0, 12)}  2026-.*tester  alpha  32 B  /data  weekly$`),
    );
    const tagged = json((await vault.run("snapshots", "--json", "--tag", "weekly")).stdout);
    assert.deepEqual(tagged.map(({ id }) => id), [first]);
    const newest = json((await vault.run("snapshots", "--json", "--last", "1")).stdout);
    assert.deepEqual(newest.map(({ id }) => id), [second]);
    const others = json((await vault.run("snapshots", "--json", "--device", "nobody")).stdout);
    assert.deepEqual(others, []);

    const top = await vault.run("ls", first.slice(0, 6), "--json");
    assert.equal(top.code, 0, top.stderr);
    assert.deepEqual(json(top.stdout).map(({ path }) => path), ["/data"]);
    const listed = await vault.run("ls", "latest", "/data/");
    assert.deepEqual(
      lines(listed.stdout).map((line) => line.split(" ").slice(-1)[0]),
      [
        "/data/new",
        '"/data/note\\u001b[31m.txt"',
        "/data/pictures",
        "/data/pictures.old",
        "pictures/one.jpg",
      ],
    );
    const deep = json((await vault.run("ls", "latest", "/data/pictures", "-r", "--json")).stdout);
    assert.deepEqual(deep.map(({ path }) => path), ["/data/pictures/one.jpg"]);
    const missing = await vault.run("ls", "latest", "/data/nothing");
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /it is not in the snapshot/);
    const unknown = await vault.run("ls", "ffffff");
    assert.equal(unknown.code, 2);

    const found = json((await vault.run("find", "*.jpg", "--json")).stdout);
    assert.deepEqual(found.map(({ path }) => path), [
      ...["/data/pictures/one.jpg", "/data/pictures.old/three.jpg"],
      ...["/data/pictures/one.jpg", "/data/pictures.old/three.jpg"],
    ]);
    const within = await vault.run(
      "find",
      "/data/pictures/**",
      "--snapshot",
      first.slice(0, 8),
      "--json",
    );
    assert.equal(json(within.stdout).length, 3); // ** also stands for nothing

    const diff = await vault.run("diff", first.slice(0, 10), "latest");
    assert.equal(diff.code, 0, diff.stderr);
    assert.deepEqual(lines(diff.stdout), [
      "+ /data/new",
      "M /data/pictures/one.jpg",
      "- /data/pictures/two.JPG",
    ]);
  });
});
