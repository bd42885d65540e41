import assert from "node:assert/strict";
import { BusyError, SessionEndedError } from "../../lib/client/answer_error.ts";
import { deviceLogin } from "../../lib/client/profile.ts";
import { VaultClientSession } from "../../lib/client/session_v4.ts";
import { ProtocolError, RefusedError, UnreachableError } from "../../lib/errors.ts";
import { ErrorCode, RecordState, RequestCode } from "../../lib/protocol_v4.ts";
import { encodeRecordHeader, recordId, RecordType } from "../../lib/record.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { pseudoRandom } from "../vault/fixture.ts";
import type { FakeServer } from "./fake_server.ts";
import { type VaultFixture, withVault } from "./vault_fixture.ts";

Deno.test("a session outlives its connections: PUT, HAS, GET and APPEND are repeated", async () => {
  await withVault(async (vault) => {
    const { server } = vault;
    await withSession(vault, async (session) => {
      const records = Array.from({ length: 40 }, (_, i) => makeRecord(20_000, i));
      await session.openSession(new Uint8Array(16).fill(7));
      server.lies.cuts = (code, count) => code === RequestCode.PUT && [3, 30, 50].includes(count);
      await Promise.all([
        ...records.map(({ id, record }) => session.put(id, record)),
        session.flush(),
      ]);
      assert.equal(server.counts.get(RequestCode.OPEN), 4); // the session is joined again each time
      assert.ok(server.counts.get(RequestCode.PUT)! >= 43);
      for (const { id } of records) assert.ok(server.records.has(id.toHex()));

      const absent = new Uint8Array(32);
      assert.deepEqual(await session.has([records[0].id, absent]), [true, false]);

      let cut = false;
      server.lies.record = (id, record) => {
        if (!cut && id.toHex() === records[10].id.toHex()) {
          cut = true;
          server.cut();
        }
        return record;
      };
      const seen = new Map<number, number>();
      await session.get(
        [...records.map(({ id }) => id), absent],
        async ({ index, state, record }) => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          seen.set(index, (seen.get(index) ?? 0) + 1);
          assert.equal(state, index === 40 ? RecordState.MISSING : RecordState.FOUND);
          if (index < 40) assert.deepEqual(record, records[index].record);
        },
      );
      assert.equal(seen.size, 41);
      assert.ok([...seen.values()].every((count) => count === 1));
    });
  });
});

Deno.test("a session turns errors of the server into what can be done about them", async () => {
  await withVault(async (vault) => {
    const { server } = vault;
    await withSession(vault, async (session) => {
      const { id, record } = makeRecord(100, 1);
      const cases = [
        [ErrorCode.NO_SESSION, SessionEndedError, 1],
        [ErrorCode.FORBIDDEN, RefusedError, 4],
        [ErrorCode.NO_SPACE, RefusedError, 4],
      ] as const;
      for (const [code, kind, exitCode] of cases) {
        server.lies.error = () => code;
        await assert.rejects(session.put(id, record), (error: unknown) => {
          assert.ok(error instanceof kind);
          assert.equal(error.exitCode, exitCode);
          assert.ok(!error.message.includes("\x1b"));
          return true;
        });
      }
      // Busy once: the request is repeated.
      server.lies.error = (_, count) => count === 4 ? ErrorCode.BUSY : undefined;
      server.counts.set(RequestCode.HAS, 3);
      assert.deepEqual(await session.has([id]), [false]);
      // What the server does not understand is not repeated, and ends everything.
      server.lies.error = () => ErrorCode.PROTOCOL;
      await assert.rejects(session.has([id]), ProtocolError);
      await assert.rejects(session.has([id]), ProtocolError);
      assert.ok(!(new BusyError("x") instanceof ProtocolError));
    });
  });
});

Deno.test("a callback of get() that throws ends that get() and nothing else", async () => {
  await withVault(async (vault) => {
    const records = [makeRecord(10, 1), makeRecord(10, 2)];
    for (const { id, record } of records) vault.server.records.set(id.toHex(), record);
    await withSession(vault, async (session) => {
      const ids = records.map(({ id }) => id);
      await assert.rejects(
        session.get(ids, () => {
          throw new RangeError("no room");
        }),
        /no room/,
      );
      assert.deepEqual(await session.getOne(ids[0]), records[0].record);
    });
  });
});

Deno.test("connect() tells at once that nobody is there, or that it is somebody else", async () => {
  await withVault(async (vault) => {
    const { server, profile } = vault;
    const login = await deviceLogin(profile);
    const place = server.place;
    const wrongPin = { ...place, pin: new Uint8Array(32) };
    await assert.rejects(VaultClientSession.connect({ server: wrongPin, login }), RefusedError);
    server.lies.error = (code) => code === RequestCode.PROVE ? ErrorCode.BAD_PROOF : undefined;
    await assert.rejects(VaultClientSession.connect({ server: place, login }), /proof/);
    const stranger = { ...login, deviceId: new Uint8Array(16) };
    server.lies.error = () => undefined;
    await assert.rejects(
      VaultClientSession.connect({ server: place, login: stranger }),
      /no vault/,
    );
    await server.stop();
    await assert.rejects(VaultClientSession.connect({ server: place, login }), UnreachableError);
  });
});

Deno.test("a session that waits keeps its connection with PING", async () => {
  await withVault(async (vault) => {
    vault.server.idleMs = 600;
    await withSession(vault, async (session) => {
      await new Promise((resolve) => setTimeout(resolve, 1300));
      assert.ok((vault.server.counts.get(RequestCode.PING) ?? 0) >= 1);
      assert.deepEqual(await session.has([new Uint8Array(32)]), [false]);
    });
  });
});

function makeRecord(size: number, seed: number): { id: Uint8Array; record: Uint8Array } {
  const header = encodeRecordHeader({ type: RecordType.DATA, links: [] });
  const record = concatBytes(header, pseudoRandom(size, seed));
  return { id: recordId(record), record };
}

async function withSession(
  { server, profile }: { server: FakeServer; profile: VaultFixture["profile"] },
  test: (session: VaultClientSession) => Promise<void>,
): Promise<void> {
  const login = await deviceLogin(profile);
  const session = await VaultClientSession.connect({ server: server.place, login });
  try {
    await test(session);
  } finally {
    session.close();
  }
}
