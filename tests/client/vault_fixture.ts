/** A vault on a fake server, a profile that owns it, and snapshots made by hand: also such as no client would make. */
import { join } from "node:path";
import { encodeCommit } from "../../lib/journal_body.ts";
import { EventKind } from "../../lib/journal.ts";
import { RecordType } from "../../lib/record.ts";
import {
  enrol,
  firstLogin,
  leaveRecoverySlot,
  prepareFounding,
} from "../../lib/client/enrolment.ts";
import { type Profile, writeProfile } from "../../lib/client/profile.ts";
import { writeDeviceKey } from "../../lib/client/profile_secrets.ts";
import { ProfileFolder } from "../../lib/client/profile_folder.ts";
import { signByDevice } from "../../lib/client/vault_access.ts";
import { ContentsBuilder } from "../../lib/vault/contents_builder.ts";
import type { Entry } from "../../lib/vault/entry.ts";
import { comparePaths } from "../../lib/vault/path_order.ts";
import { generateDeviceKey, importDeviceKey } from "../../lib/vault/private_key.ts";
import { deriveRecoveryKey } from "../../lib/vault/recovery.ts";
import { sealRoot } from "../../lib/vault/root.ts";
import type { RecordContent } from "../../lib/vault/seal.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel, tagLabel } from "../../lib/vault/secrets.ts";
import { createSession, maskKey, type Reference, type Session } from "../../lib/vault/session.ts";
import { type Tree, TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { withFolder } from "../folder.ts";
import { entryOf, sealWhole } from "../vault/fixture.ts";
import { FakeServer } from "./fake_server.ts";
import { type Ran, runClient } from "./run_client.ts";

/** An entry, and what is in the file: bytes, or extents of its own. */
export interface TestEntry extends Partial<Entry> {
  path: string;
  content?: Uint8Array | string;
  /** Size of the pieces that the content is cut into. */
  pieceBytes?: number;
}

export interface SnapshotOptions {
  tags?: string[];
  host?: string;
  paths?: string[];
  /** In place of the builder's tree: for what no client makes. */
  tree?: (emit: (content: RecordContent) => Promise<Reference>) => Promise<Tree>;
  deviceId?: string;
}

const TIME_MS = Date.UTC(2026, 0, 31, 12, 0, 0);

export class VaultFixture {
  readonly folder: string;
  readonly server: FakeServer;
  profile!: Profile;
  /** References by path of the entry whose content they hold. */
  readonly references = new Map<string, Reference[]>();
  #snapshots = 0;

  private constructor(folder: string, server: FakeServer) {
    this.folder = folder;
    this.server = server;
  }

  static async create(folder: string): Promise<VaultFixture> {
    const fixture = new VaultFixture(folder, await FakeServer.start(folder));
    await fixture.#found();
    return fixture;
  }

  get profilePath(): string {
    return join(this.folder, "profile");
  }

  /** Runs the client with this profile. */
  run(...args: string[]): Promise<Ran> {
    return runClient([...args, "--profile", this.profilePath], { cwd: this.folder });
  }

  /** Commits a snapshot of the entries, and gives its id. */
  async snapshot(entries: TestEntry[], options: SnapshotOptions = {}): Promise<string> {
    const { vaultId, keyring, journal, device } = this.profile;
    const { writeSecret } = keyring.epochs[0];
    const keys = deriveWriteKeys(writeSecret);
    const { readKey } = journal.facts.epochs[0];
    const session = await createSession({ vaultId, epoch: 1, readKey });
    this.server.records.set(session.id.toHex(), session.record);
    const emit = async (content: RecordContent) => {
      const { id, key, record } = sealWhole(keys.recordKey, content);
      this.server.records.set(id.toHex(), record);
      return maskKey(session, { id, key });
    };
    const { pathTable } = keys;
    const tree = options.tree
      ? await options.tree(emit)
      : await this.#build(entries, { pathTable, emit });
    const { tags = [], host = "testhost", paths = ["/data"] } = options;
    const root = {
      ...{ device: options.deviceId ?? device.id.toHex(), host, tags, skipped: 0, ...tree },
      ...{ timeMs: TIME_MS + this.#snapshots++ * 3600_000, paths },
    };
    return await this.#commit(session, root);
  }

  async close(): Promise<void> {
    await this.server.stop();
  }

  async #build(
    entries: TestEntry[],
    { pathTable, emit }: { pathTable: Uint32Array; emit: (c: RecordContent) => Promise<Reference> },
  ): Promise<Tree> {
    const builder = new TreeBuilder({ pathTable, emit });
    for (const entry of entries.toSorted((a, b) => comparePaths(a.path, b.path))) {
      const { content, pieceBytes = 1 << 18, ...fields } = entry;
      if (content === undefined) {
        await builder.add(entryOf(entry.path, fields));
        continue;
      }
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      const contents = new ContentsBuilder({ pathTable, emit });
      const references: Reference[] = [];
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const plaintext = bytes.subarray(at, at + pieceBytes);
        const reference = await emit({ type: RecordType.DATA, links: [], plaintext });
        references.push(reference);
        await contents.add({ reference, offset: 0, length: plaintext.length });
      }
      this.references.set(entry.path, references);
      await builder.add(entryOf(entry.path, { ...fields, ...await contents.finish() }));
    }
    return await builder.finish();
  }

  async #commit(session: Session, root: Parameters<typeof sealRoot>[1]): Promise<string> {
    const { id, record } = await sealRoot(session, root);
    this.server.records.set(id.toHex(), record);
    const labelKey = deriveLabelKey(this.profile.keyring.epochs[0].writeSecret);
    const body = encodeCommit({
      root: id,
      setLabel: setLabel(labelKey, root.paths),
      tagLabels: root.tags.map((tag) => tagLabel(labelKey, tag)),
    });
    const { journal } = this.server;
    const statement = { kind: EventKind.COMMIT, body };
    this.server.append(await signByDevice({ ...this.profile, journal }, statement));
    return id.toHex();
  }

  async #found(): Promise<void> {
    const folder = new ProfileFolder(this.profilePath);
    folder.create();
    const encoded = await generateDeviceKey();
    await writeDeviceKey(folder, encoded);
    const device = await importDeviceKey(encoded);
    const recovery = await deriveRecoveryKey(new Uint8Array(32));
    const enrolment = await prepareFounding({
      token: this.server.drawToken(),
      ...{ device, deviceName: "tester", recovery },
    });
    const server = this.server.place;
    await enrol(server, enrolment);
    const { profile, session } = await firstLogin({ server, device, enrolment, folder });
    await leaveRecoverySlot(profile, session);
    session.close();
    await writeProfile(folder, profile);
    this.profile = profile;
  }
}

/** A vault for one test. */
export async function withVault(test: (vault: VaultFixture) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const vault = await VaultFixture.create(folder);
    try {
      await test(vault);
    } finally {
      await vault.close();
    }
  });
}

export function dir(path: string, fields: Partial<Entry> = {}): TestEntry {
  return { path, type: "dir", mode: 0o755, ...fields };
}

export function file(
  path: string,
  content: Uint8Array | string,
  fields: Partial<TestEntry> = {},
): TestEntry {
  return { path, content, ...fields };
}

export function link(path: string, target: string): TestEntry {
  return { path, type: "symlink", target, mode: 0o777 };
}
