import assert from "node:assert/strict";
import { join } from "node:path";
import { openWithPassphrase } from "../../lib/vault/passphrase.ts";
import { encodeInviteLine } from "../../lib/invite_line.ts";
import { runClient } from "./run_client.ts";
import { withVault } from "./vault_fixture.ts";

const SECRETS = /^(device|keyring)\./;

function secretFiles(profile: string): string[] {
  return [...Deno.readDirSync(profile)].map(({ name }) => name).filter((name) => SECRETS.test(name))
    .sort();
}

Deno.test("a profile under a passphrase is opened with it, and with nothing else", async () => {
  await withVault(async (vault) => {
    const { folder, profilePath } = vault;
    const file = (name: string, text: string) => {
      Deno.writeTextFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const first = file("first", "correct horse\n");
    const second = file("second", "battery staple");
    const plainKey = Deno.readFileSync(join(profilePath, "device.key"));
    const plainRing = Deno.readFileSync(join(profilePath, "keyring.key"));
    assert.equal((await vault.run("passphrase", "set", "--passphrase-file", first)).code, 0);
    assert.deepEqual(secretFiles(profilePath), ["device.sealed", "keyring.sealed"]);
    for (const name of secretFiles(profilePath)) {
      assert.equal(Deno.statSync(join(profilePath, name)).mode! & 0o777, 0o600);
      const hex = Deno.readFileSync(join(profilePath, name)).toHex();
      assert.ok(!hex.includes(plainRing.slice(4, 36).toHex()), "the write secret is not in clear");
    }
    const sealed = Deno.readFileSync(join(profilePath, "device.sealed"));
    assert.deepEqual(await openWithPassphrase("correct horse", sealed), plainKey);

    const without = await vault.run("snapshots");
    assert.equal(without.code, 2);
    assert.match(without.stderr, /under a passphrase[^]*hint: --passphrase-file FILE/);
    const wrong = await vault.run("snapshots", "--passphrase-file", second);
    assert.equal(wrong.code, 4);
    assert.match(wrong.stderr, /the passphrase is another/);
    for (const command of ["snapshots", "devices", "journal"]) {
      const ran = await vault.run(command, "--passphrase-file", first);
      assert.equal(ran.code, 0, ran.stderr);
    }
    // A change of keys stays under it.
    assert.equal((await vault.run("keys", "rotate", "--passphrase-file", first)).code, 0);
    assert.deepEqual(secretFiles(profilePath), ["device.sealed", "keyring.sealed"]);
    const change = ["passphrase", "set", "--passphrase-file", first];
    assert.equal((await vault.run(...change, "--new-passphrase-file", second)).code, 0);
    assert.equal((await vault.run("snapshots", "--passphrase-file", first)).code, 4);
    assert.equal((await vault.run("passphrase", "remove", "--passphrase-file", second)).code, 0);
    assert.deepEqual(secretFiles(profilePath), ["device.key", "keyring.key"]);
    assert.deepEqual(Deno.readFileSync(join(profilePath, "device.key")), plainKey);
    assert.equal((await vault.run("snapshots")).code, 0);
  });
});

Deno.test("init under a passphrase never writes a plain secret", async () => {
  await withVault(async ({ folder, server }) => {
    const token = server.drawToken();
    const line = encodeInviteLine({ kind: "join", secret: token, ...server.place });
    const passphrase = join(folder, "passphrase");
    Deno.writeTextFileSync(passphrase, "open sesame\n");
    const profile = join(folder, "guarded");
    const args = ["init", line, "--profile", profile, "--passphrase-file", passphrase];
    const refused = await runClient(args, { cwd: folder });
    assert.equal(refused.code, 4, refused.stderr); // nobody has left a bundle for this token
    assert.deepEqual(secretFiles(profile), ["device.sealed"]);
  });
});
