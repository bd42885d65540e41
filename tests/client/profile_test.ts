import assert from "node:assert/strict";
import { join } from "node:path";
import { writeJournal } from "../../lib/client/profile.ts";
import { runClient } from "./run_client.ts";
import { dir, withVault } from "./vault_fixture.ts";
import { withFolder } from "../folder.ts";

const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write"];

Deno.test("a profile is looked for where it was named, then here, then at home", async () => {
  await withFolder(async (folder) => {
    const home = join(folder, "home");
    const here = join(folder, "here");
    Deno.mkdirSync(home);
    Deno.mkdirSync(here);
    const placeOf = async (args: string[], permissions: string[]) => {
      const env = { HOME: home };
      const ran = await runClient(["snapshots", ...args], { cwd: here, permissions, env });
      assert.equal(ran.code, 2);
      return /there is none in (\S+)/.exec(ran.stderr)?.[1];
    };
    const mayRead = [...PERMISSIONS, "--allow-env=HOME"];
    assert.equal(await placeOf(["--profile", "there"], mayRead), join(here, "there"));
    assert.equal(await placeOf([], mayRead), join(home, ".holdfast"));
    assert.equal(await placeOf([], PERMISSIONS), join(here, ".holdfast"));
    Deno.mkdirSync(join(here, ".holdfast"));
    assert.equal(await placeOf([], mayRead), join(here, ".holdfast"));
  });
});

Deno.test("the newest journal event is kept, and an older one never takes its place", async () => {
  await withVault(async (vault) => {
    const path = join(vault.profilePath, "journal.state");
    const before = Deno.readFileSync(path);
    await vault.snapshot([dir("/data")]);
    const readOnly = await runClient(["snapshots", "--profile", vault.profilePath], {
      cwd: vault.folder,
      permissions: ["--allow-net", "--allow-read"],
    });
    assert.equal(readOnly.code, 0, readOnly.stderr);
    assert.match(
      readOnly.stderr,
      /note: no permission to write in .*: the journal's end is not kept/,
    );
    assert.deepEqual(Deno.readFileSync(path), before);
    assert.equal((await vault.run("snapshots")).code, 0);
    const after = Deno.readFileSync(path);
    assert.notDeepEqual(after, before);
    await writeJournal(vault.profile.folder, vault.profile.journal); // as a slower run would
    assert.deepEqual(Deno.readFileSync(path), after);
  });
});

Deno.test("a profile with a file missing or damaged says which one", async () => {
  await withVault(async (vault) => {
    for (
      const name of ["keyring.key", "device.key", "server.crt", "journal.state", "profile.json"]
    ) {
      const path = join(vault.profilePath, name);
      const kept = Deno.readFileSync(path);
      Deno.writeFileSync(path, kept.subarray(0, kept.length >> 1));
      const ran = await vault.run("snapshots");
      assert.ok(ran.code === 5 || ran.code === 1, `${name}: ${ran.code} ${ran.stderr}`);
      assert.doesNotMatch(ran.stderr, /at file:|undefined/, name);
      if (name !== "journal.state" && name !== "profile.json") {
        Deno.removeSync(path);
        const missing = await vault.run("snapshots");
        assert.equal(missing.code, 5, name);
        assert.match(missing.stderr, new RegExp(`${name} is missing`));
      }
      Deno.writeFileSync(path, kept);
    }
    assert.equal((await vault.run("snapshots")).code, 0);
  });
});
