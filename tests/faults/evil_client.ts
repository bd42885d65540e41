/**
 * Class G. A writer's device, and the owner of another vault on the same server, with programs of their own: they try to
 * delete, overwrite, flood, lie. Each attempt is refused by its name, and nobody's snapshot is harmed.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openVault, signByDevice, type VaultAccess } from "../../lib/client/vault_access.ts";
import { ProfileFolder } from "../../lib/client/profile_folder.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { HoldfastError } from "../../lib/errors.ts";
import { EventKind, signStatement } from "../../lib/journal.ts";
import { encodeCommit, encodeDevice, encodeRoots } from "../../lib/journal_body.ts";
import { encodeRecordHeader, recordId, RecordType } from "../../lib/record.ts";
import type { Random } from "./random.ts";
import { backUp, restoreAll } from "./site.ts";
import type { Stage } from "./stage.ts";
import { stagedClass, type StagedFault } from "./staged_class.ts";

const OWNER_ROLE = 3;
const FLOOD_RECORDS = 400;

type Attack = (
  vault: VaultAccess,
  options: { stage: Stage; random: Random; root: Uint8Array<ArrayBuffer> },
) => Promise<void>;

export const EVIL_CLIENT = stagedClass({
  letter: "G",
  title: "evil client",
  shortCount: 9,
  count: 54,
  prepare: async (stage) => {
    await stage.join("evil", "writer");
    await stage.init(await stage.invite(), "other");
  },
  prepared: ["evil", "other"],
  faults: {
    "delete by command": commands("evil"),
    "delete by a statement": attack("evil", async ({ session, profile }, { root }) => {
      const statement = { kind: EventKind.FORGET, body: encodeRoots([root]) };
      await refused(session.append(await signByDevice(profile, statement)));
    }),
    "overwrite with wrong bytes": attack("evil", async ({ session }, { random, root }) => {
      await session.openSession(idOf(random));
      await refused(session.put(root, junk(random)));
    }),
    flood: attack("evil", async ({ session }, { stage, random }) => {
      await session.openSession(idOf(random));
      const puts: Promise<void>[] = [];
      for (let i = 0; i < FLOOD_RECORDS; i++) {
        const record = junk(random);
        puts.push(session.put(recordId(record), record));
      }
      await session.flush();
      await Promise.all(puts);
      await session.closeSession();
      const { code, stderr } = await stage.server("gc");
      assert.equal(code, 0, stderr);
    }),
    "snapshot of nothing": attack("evil", async ({ session, profile }, { random }) => {
      await session.openSession(idOf(random));
      const root = random.bytes(32);
      const answer = await session.commit(await signByDevice(profile, commitOf(root)));
      assert.ok("missing" in answer);
    }),
    "backdated statement": attack("evil", async ({ session, profile }, { random, root }) => {
      const { vaultId, device, journal } = profile;
      await session.openSession(idOf(random));
      for (const number of [1, journal.newest.number + 1000]) {
        const seen = { number, hash: random.bytes(32) };
        const statement = { ...commitOf(root), signer: device.id, seen };
        await refused(
          session.commit(await signStatement(statement, { vaultId, sign: device.sign })),
        );
      }
    }),
    "raise its role": attack("evil", async ({ session, profile }) => {
      const body = encodeDevice({
        role: OWNER_ROLE,
        keys: profile.device.publicKey,
        sealedName: new Uint8Array(40),
      });
      await refused(session.append(await signByDevice(profile, { kind: EventKind.DEVICE, body })));
    }),
    "other vault's ids": attack("other", async ({ session, profile }, { random, root }) => {
      await session.openSession(idOf(random));
      assert.deepEqual(await session.has([root]), [false]);
      assert.equal(await session.getOne(root), undefined);
      const answer = await session.commit(await signByDevice(profile, commitOf(root)));
      assert.ok("missing" in answer);
    }),
    "other vault's statement": attack("other", async ({ session, profile }, { root }) => {
      const statement = { kind: EventKind.FORGET, body: encodeRoots([root]) };
      await refused(session.append(await signByDevice(profile, statement)));
    }),
  },
});

/** Opens the vault as somebody, attacks it, and then the owner looks. */
function attack(name: string, work: Attack): StagedFault {
  return async (stage, random) => {
    const root = Uint8Array.fromHex(random.pick(stage.oracle.inForce));
    const vault = await openVault(new ProfileFolder(join(stage.folder, name)));
    try {
      await work(vault, { stage, random, root });
    } finally {
      vault.session.close();
    }
    await unharmed(stage);
  };
}

/** The real program, by a writer. */
function commands(name: string): StagedFault {
  return async (stage, random) => {
    const profile = ["--profile", join(stage.folder, name)];
    const snapshot = random.pick(stage.oracle.inForce);
    const attempts = [
      ["forget", snapshot],
      ["policy", "--keep-last", "1"],
      ["keys", "rotate"],
      ["devices", "revoke", "profile"],
      ["restore", snapshot, "--to", join(stage.folder, "stolen")],
    ];
    for (const args of attempts) {
      const { code, stderr } = await stage.client(...args, ...profile);
      assert.equal(code, 4, `${args[0]}: ${stderr}`);
    }
    await unharmed(stage);
  };
}

async function unharmed(stage: Stage): Promise<void> {
  await restoreAll(stage);
  await backUp(stage);
  await restoreAll(stage);
  const { code, stdout } = await stage.server("scrub");
  assert.equal(code, 0, stdout);
}

async function refused(promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof HoldfastError, String(error));
    assert.doesNotMatch(error.message, /server failed/); // refused, not stumbled over
    return true;
  });
}

function commitOf(root: Uint8Array) {
  const body = encodeCommit({ root, setLabel: new Uint8Array(16), tagLabels: [] });
  return { kind: EventKind.COMMIT, body };
}

function junk(random: Random): Uint8Array<ArrayBuffer> {
  const header = encodeRecordHeader({ type: RecordType.DATA, links: [] });
  return concatBytes(header, random.bytes(200));
}

function idOf(random: Random): Uint8Array {
  return random.bytes(16);
}
