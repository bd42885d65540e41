import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeInviteLine } from "../../lib/invite_line.ts";
import { ErrorCode, RequestCode } from "../../lib/protocol_v4.ts";
import { withFolder } from "../folder.ts";
import { FakeServer } from "./fake_server.ts";
import { runClient } from "./run_client.ts";

Deno.test("client init founds a vault; invite, join and recover bring further devices", async () => {
  await withServer(async ({ server, folder, run }) => {
    const line = newVaultLine(server);
    const code = join(folder, "code.txt");
    const owner = join(folder, "owner");
    const made = await run(
      "init",
      line,
      "--profile",
      owner,
      "--device",
      "one",
      "--json",
      "--recovery-file",
      code,
    );
    assert.equal(made.code, 0, made.stderr);
    const enrolled = JSON.parse(made.stdout);
    assert.equal(enrolled.role, "owner");
    assert.equal(Deno.statSync(owner).mode! & 0o777, 0o700);
    for (const { name } of Deno.readDirSync(owner)) {
      assert.equal(Deno.statSync(join(owner, name)).mode! & 0o777, 0o600, name);
    }
    assert.deepEqual(
      [...Deno.readDirSync(owner)].map(({ name }) => name).sort(),
      ["device.key", "journal.state", "keyring.key", "profile.json", "server.crt"],
    );
    assert.equal(server.events.length, 2); // found, slot of the recovery code

    for (const role of ["writer", "reader"]) {
      const invited = await run("invite", "--profile", owner, "--role", role);
      assert.equal(invited.code, 0, invited.stderr);
      const profile = join(folder, role);
      const joined = await run("init", invited.stdout.trim(), "--profile", profile, "--json");
      assert.equal(joined.code, 0, joined.stderr);
      assert.equal(JSON.parse(joined.stdout).role, role);
      const again = await run("init", invited.stdout.trim(), "--profile", join(folder, "again"));
      assert.equal(again.code, 4, again.stderr);
      assert.match(again.stderr, /invite is unknown, expired or used/);
    }
    const refused = await run("invite", "--profile", join(folder, "writer"));
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /only an owner/);

    const { port } = server.place.addresses[0];
    const back = await run(
      "recover",
      `127.0.0.1:${port}`,
      "--code-file",
      code,
      "--profile",
      join(folder, "back"),
      "--json",
    );
    assert.equal(back.code, 0, back.stderr);
    assert.equal(JSON.parse(back.stdout).vault, enrolled.vault);
    const invited = await run("invite", "--profile", join(folder, "back"), "--json");
    assert.equal(invited.code, 0, invited.stderr);
    assert.match(JSON.parse(invited.stdout).invite, /^holdfast:.*\/join\//);
  });
});

Deno.test("client init goes on where it was interrupted", async () => {
  await withServer(async ({ server, folder, run }) => {
    const line = newVaultLine(server);
    const args = [
      "init",
      line,
      "--profile",
      join(folder, "p"),
      "--recovery-file",
      join(folder, "c"),
    ];
    // The answer to FOUND is lost: the vault is there, and the device does not know.
    server.lies.error = (code, count) =>
      code === RequestCode.HELLO && count === 1 ? ErrorCode.PROTOCOL : undefined;
    const first = await run(...args);
    assert.equal(first.code, 1, first.stderr);
    assert.equal(server.events.length, 1);
    const second = await run(...args);
    assert.equal(second.code, 0, second.stderr);
    assert.equal(server.events.length, 2);
    const third = await run(...args);
    assert.equal(third.code, 2);
    assert.match(third.stderr, /there is one in/);
  });
});

Deno.test("client init needs somebody to take the recovery code, and the right to write", async () => {
  await withServer(async ({ server, folder, run }) => {
    const line = newVaultLine(server);
    const noTerminal = await run("init", line, "--profile", join(folder, "p"));
    assert.equal(noTerminal.code, 2);
    assert.match(noTerminal.stderr, /--recovery-file/);
    const readOnly = await runClient(["init", line, "--yes"], {
      cwd: folder,
      permissions: ["--allow-net", "--allow-read"],
    });
    assert.equal(readOnly.code, 4);
    assert.match(readOnly.stderr, /no permission to write.*\n.*--allow-write=/);
    assert.equal(server.counts.size, 0); // nothing was asked of the server before
    const shown = await run("init", line, "--profile", join(folder, "p"), "--yes");
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^([A-Z2-7]{4}-){13}[A-Z2-7]{4}\n$/);
  });
});

Deno.test("client init and recover name a server with another key, and a wrong code", async () => {
  await withServer(async ({ server, folder, run }) => {
    const other = await FakeServer.start(folder);
    try {
      const { pin } = other.place;
      const { addresses } = server.place;
      const line = encodeInviteLine({ kind: "new", pin, secret: new Uint8Array(32), addresses });
      const wrongPin = await run("init", line, "--yes");
      assert.equal(wrongPin.code, 4);
      assert.match(wrongPin.stderr, /another key/);

      const code = join(folder, "code");
      await run(
        "init",
        newVaultLine(server),
        "--profile",
        join(folder, "p"),
        "--recovery-file",
        code,
      );
      await run("init", newVaultLine(other), "--profile", join(folder, "o"), "--yes");
      const address = `127.0.0.1:${other.place.addresses[0].port}`;
      const unknown = await run(
        "recover",
        address,
        "--code-file",
        code,
        "--profile",
        join(folder, "r"),
      );
      assert.equal(unknown.code, 4);
      assert.match(unknown.stderr, /no vault at this server has this recovery code/);
      const text = Deno.readTextFileSync(code);
      Deno.writeTextFileSync(code, (text[0] === "A" ? "B" : "A") + text.slice(1));
      const typo = await run(
        "recover",
        address,
        "--code-file",
        code,
        "--profile",
        join(folder, "r"),
      );
      assert.equal(typo.code, 2);
      assert.match(typo.stderr, /typing error/);
    } finally {
      await other.stop();
    }
  });
});

Deno.test("client recover refuses a server that only passes the vault's journal on", async () => {
  await withServer(async ({ server, folder, run }) => {
    const code = join(folder, "code");
    await run(
      "init",
      newVaultLine(server),
      "--profile",
      join(folder, "p"),
      "--recovery-file",
      code,
    );
    const false_ = await FakeServer.start(folder);
    try {
      false_.events = server.events;
      false_.journal = server.journal;
      const address = `127.0.0.1:${false_.place.addresses[0].port}`;
      const ran = await run(
        "recover",
        address,
        "--code-file",
        code,
        "--profile",
        join(folder, "r"),
      );
      assert.equal(ran.code, 4);
      assert.match(ran.stderr, /another key than the vault's server/);
    } finally {
      await false_.stop();
    }
  });
});

function newVaultLine(server: FakeServer): string {
  return encodeInviteLine({ kind: "new", secret: server.drawToken(), ...server.place });
}

async function withServer(
  test: (tools: {
    server: FakeServer;
    folder: string;
    run: (...args: string[]) => ReturnType<typeof runClient>;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const server = await FakeServer.start(folder);
    try {
      await test({ server, folder, run: (...args) => runClient(args, { cwd: folder }) });
    } finally {
      await server.stop();
    }
  });
}
