/** Backups to a server that cuts connections, ends sessions and loses what it was sent. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ErrorCode, RequestCode } from "../../lib/protocol_v4.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import { type BackupRan, settle, summarize } from "./backup_fixture.ts";
import { VaultFixture } from "./vault_fixture.ts";
import { withFolder } from "../folder.ts";

const BYTES = 9 * 1024 * 1024;

interface LiesBench {
  vault: VaultFixture;
  backup: () => Promise<BackupRan>;
}

for (const code of [RequestCode.HAS, RequestCode.PUT, RequestCode.COMMIT]) {
  Deno.test(`client backup begins a new session when the server ends it at request ${code}`, async () => {
    await withLies(async ({ vault, backup }) => {
      let isDone = false;
      vault.server.lies.error = (asked) => {
        if (asked !== code || isDone) return undefined;
        isDone = true;
        return ErrorCode.NO_SESSION;
      };
      const ran = await backup();
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(ran.summary.passes, 2);
      assert.match(ran.stderr, /the server has ended the session/);
      assert.equal(vault.server.journal.facts.snapshots.size, 1);
      // Before the commit all has been read, and need not be again.
      if (code === RequestCode.COMMIT) assert.equal(ran.summary.bytesRead, BYTES);
      assert.ok(ran.summary.bytesSent < BYTES * 1.3, ran.stdout);
      await checkRestore(vault);
    });
  });
}

Deno.test("client backup signs its commit again when the journal has gone on", async () => {
  await withLies(async ({ vault, backup }) => {
    vault.server.lies.error = (code, count) =>
      code === RequestCode.COMMIT && count < 3 ? ErrorCode.STALE_EVENT : undefined;
    const ran = await backup();
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.summary.passes, 1);
    await checkRestore(vault);
  });
});

Deno.test("client backup goes on over new connections when they are cut", async () => {
  await withLies(async ({ vault, backup }) => {
    let cuts = 0;
    vault.server.lies.cuts = (code, count) => {
      const isCut = cuts < 6 && code >= RequestCode.HAS && code <= RequestCode.COMMIT &&
        count % 5 === 1;
      if (isCut) cuts++;
      return isCut;
    };
    const ran = await backup();
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(cuts > 2, `${cuts} cuts`);
    await checkRestore(vault);
  });
});

Deno.test("client backup gives up on a server that will not have it, and says why", async () => {
  const cases = [
    [ErrorCode.NO_SPACE, 4, /no room/],
    [ErrorCode.FORBIDDEN, 4, /may not do that/],
    [ErrorCode.BAD_EVENT, 4, /journal does not take it/],
  ] as const;
  for (const [error, exitCode, message] of cases) {
    await withLies(async ({ vault, backup }) => {
      const refused = error === ErrorCode.BAD_EVENT ? RequestCode.COMMIT : RequestCode.PUT;
      vault.server.lies.error = (code) => code === refused ? error : undefined;
      const ran = await backup();
      assert.equal(ran.code, exitCode, ran.stderr);
      assert.match(ran.stderr, message);
      assert.equal(ran.stdout, "");
    });
  }
});

async function withLies(test: (bench: LiesBench) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const vault = await VaultFixture.create(folder);
    try {
      const source = join(folder, "source");
      Deno.mkdirSync(source);
      Deno.writeFileSync(join(source, "large"), pseudoRandom(BYTES - 300_000, 1));
      for (let i = 0; i < 30; i++) {
        Deno.writeFileSync(join(source, `small ${i}`), pseudoRandom(10_000, i));
      }
      await settle();
      await test({
        vault,
        backup: async () => summarize(await vault.run("backup", source, "--json")),
      });
    } finally {
      await vault.close();
    }
  });
}

async function checkRestore(vault: VaultFixture): Promise<void> {
  vault.server.lies.error = () => undefined;
  vault.server.lies.cuts = () => false;
  const to = join(vault.folder, "restored");
  const { code, stderr } = await vault.run("restore", "latest", "--to", to);
  assert.equal(code, 0, stderr);
  const source = join(vault.folder, "source");
  const diff = new Deno.Command("diff", { args: ["-r", source, to + source] }).outputSync();
  assert.equal(diff.code, 0, new TextDecoder().decode(diff.stdout));
}
