/** What the client asks on a terminal. Ignored where none can be made. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeInviteLine } from "../../lib/invite_line.ts";
import { formatRecoveryCode } from "../../lib/vault/recovery.ts";
import { HAS_TERMINAL, TerminalRun } from "./pty.ts";
import { type VaultFixture, withVault } from "./vault_fixture.ts";

const ignore = !HAS_TERMINAL;
const RETURN = "\r";
const CTRL_C = "\x03";

Deno.test({
  name: "a passphrase is typed without being shown, and then it is asked for",
  ignore,
  fn: () =>
    withVault(async (vault) => {
      const set = start(vault, "passphrase", "set");
      const answer = async (question: string, typed: string, times = 1) => {
        await set.waitFor(question, { times });
        await set.waitForEcho(false);
        await set.type(typed + RETURN);
      };
      await answer("New passphrase: ", "correct horse");
      await answer("The same again: ", "correct house"); // so once more
      await answer("New passphrase: ", "correct hxx\x7f\x7forse", 2);
      await answer("The same again: ", "correct horse", 2);
      const { code, shown, echoes } = await set.end();
      assert.equal(code, 0, shown);
      assert.ok(echoes);
      assert.doesNotMatch(shown, /horse|house/);
      for (const [typed, expected] of [["correct horse", 0], ["correct house", 4]] as const) {
        const list = start(vault, "snapshots");
        await list.waitFor("Passphrase of the profile: ");
        await list.waitForEcho(false);
        await list.type(typed + RETURN);
        const ended = await list.end();
        assert.equal(ended.code, expected, ended.shown);
        assert.ok(ended.echoes);
        assert.doesNotMatch(ended.shown, /horse|house/);
      }
    }),
});

Deno.test({
  name: "Ctrl-C at a secret ends with 130, and the terminal shows again what is typed",
  ignore,
  fn: () =>
    withVault(async (vault) => {
      const set = start(vault, "passphrase", "set");
      await set.waitFor("New passphrase: ");
      await set.waitForEcho(false);
      await set.type("half of" + CTRL_C);
      const { code, shown, echoes } = await set.end();
      assert.equal(code, 130, shown);
      assert.ok(echoes);
      assert.doesNotMatch(shown, /half/);
      assert.equal((await vault.run("snapshots")).code, 0); // there is no passphrase
    }),
});

Deno.test({
  name: "init shows the recovery code and goes on when its last letters are typed",
  ignore,
  fn: () =>
    withVault(async (vault) => {
      const { server, folder } = vault;
      const line = encodeInviteLine({ kind: "new", secret: server.drawToken(), ...server.place });
      const profile = join(folder, "new");
      const begin = async () => {
        const run = TerminalRun.start(["init", line, "--profile", profile], folder);
        const shown = await run.waitFor("Its last four letters, to confirm: ");
        const [code] = /([A-Z2-7]{4}-){13}[A-Z2-7]{4}/.exec(shown)!;
        return { run, code };
      };
      const events = server.events.length;
      const stopped = await begin();
      await stopped.run.waitForEcho(true);
      await stopped.run.type(CTRL_C);
      assert.equal((await stopped.run.end()).code, 130);
      const silent = await begin();
      await silent.run.type(RETURN);
      const unconfirmed = await silent.run.end();
      assert.equal(unconfirmed.code, 2);
      assert.match(unconfirmed.shown, /the recovery code was not confirmed/);
      assert.equal(server.events.length, events); // no vault whose code nobody has
      // The test's server holds one vault only, so it is not founded; but it is asked to.
      const { run, code } = await begin();
      assert.notEqual(code, stopped.code);
      await run.type("nope" + RETURN);
      await run.waitFor("That is not what stands there.");
      await run.type(code.slice(-4).toLowerCase() + RETURN);
      const { shown } = await run.end();
      assert.match(shown, /Cannot found a vault/);
    }),
});

Deno.test({
  name: "recover asks for the code, and does not show it",
  ignore,
  fn: () =>
    withVault(async (vault) => {
      const { folder, server } = vault;
      const { hostname, port } = server.place.addresses[0];
      const args = ["recover", `${hostname}:${port}`, "--profile", join(folder, "saved")];
      const run = TerminalRun.start(args, folder);
      await run.waitFor("Recovery code: ");
      await run.waitForEcho(false);
      const code = formatRecoveryCode(new Uint8Array(32)).toLowerCase();
      await run.type(code + RETURN);
      const { code: status, shown, echoes } = await run.end();
      assert.equal(status, 0, shown);
      assert.ok(echoes);
      assert.ok(!shown.includes(code.slice(-9)));
    }),
});

function start(vault: VaultFixture, ...args: string[]): TerminalRun {
  return TerminalRun.start([...args, "--profile", vault.profilePath], vault.folder);
}
