/**
 * Makes the test vectors of docs/format.md: `deno run -A tests/vectors/make.ts`. What is drawn at random
 * (keys, wrappings, nonces) is kept where it is there already, so that only what changed changes.
 * `exactVectors()` gives what must come out the same, byte for byte, each time.
 */
import { concatBytes } from "../../lib/bytes.ts";
import {
  encodeCommit,
  encodeDevice,
  encodeDrill,
  encodeFoundFields,
  encodePolicy,
  encodeRecoveryFields,
  encodeRestore,
  encodeRevoke,
  encodeRoots,
  Restored,
} from "../../lib/journal_body.ts";
import {
  encodeEvent,
  encodeStatement,
  EventKind,
  JOURNAL_START,
  signStatement,
  vaultIdOf,
} from "../../lib/journal.ts";
import { proveCode } from "../../lib/journal_code.ts";
import { JournalState } from "../../lib/journal_state.ts";
import { encodeDeviceKeys, encodeReadKey, encodeRecoveryKeys, Role } from "../../lib/identity.ts";
import { encryptLoginSecret, importRsaPublicKey, proveLogin } from "../../lib/login.ts";
import { recordId, RecordType } from "../../lib/record.ts";
import { Chunker } from "../../lib/vault/chunker.ts";
import { ContentsBuilder } from "../../lib/vault/contents_builder.ts";
import { sealName } from "../../lib/vault/device_name.ts";
import type { Entry, Extent } from "../../lib/vault/entry.ts";
import { deriveInviteKeys, grantInvite, sealBundle } from "../../lib/vault/invite.ts";
import { keyedHash } from "../../lib/vault/keyed_hash.ts";
import { sealRecoverySlot, sealSlot } from "../../lib/vault/keyring.ts";
import { padmeSize } from "../../lib/vault/padme.ts";
import {
  generateDeviceKey,
  generateReadKey,
  importDeviceKey,
  importReadKey,
} from "../../lib/vault/private_key.ts";
import { deriveRecoveryKey, formatRecoveryCode } from "../../lib/vault/recovery.ts";
import { type Root, sealRoot } from "../../lib/vault/root.ts";
import type { RecordContent } from "../../lib/vault/seal.ts";
import { deriveLabelKey, deriveWriteKeys, setLabel, tagLabel } from "../../lib/vault/secrets.ts";
import { createSession, maskKey, type Session } from "../../lib/vault/session.ts";
import { endsRecord } from "../../lib/vault/small_files.ts";
import { TreeBuilder } from "../../lib/vault/tree_builder.ts";
import { entryOf, idOf, pseudoRandom, referenceOf, sealWhole } from "../vault/fixture.ts";

/** What stands in `keys.json`: private keys, drawn once. */
export interface VectorKeys {
  device: string;
  writer: string;
  readKey: string;
}

export const WRITE_SECRET = new Uint8Array(32).fill(0x11);
export const RECOVERY_SECRET = new Uint8Array(32).fill(0x22);
/** Of the code that takes the place of the first. */
export const NEXT_RECOVERY_SECRET = new Uint8Array(32).fill(0x23);
export const INVITE_SECRET = new Uint8Array(32).fill(0x33);
export const SESSION: Session = { id: idOf(0, 2), key: new Uint8Array(32).fill(0x44) };
export const PIN = new Uint8Array(32).fill(0x55);
export const LOGIN_SECRET = new Uint8Array(32).fill(0x66);
export const NONCE = new Uint8Array(32).fill(0x77);
const TIME_MS = 1_767_225_600_000;

const hex = (bytes: Uint8Array) => bytes.toHex();

/** Vectors by file name: they follow from the keys alone. */
export async function exactVectors(keys: VectorKeys): Promise<Record<string, unknown>> {
  return {
    derived: await deriveAll(keys),
    sealing: await sealAll(),
    cuts: cutAll(),
    tree: await buildTree(),
    journal: await makeJournal(keys),
  };
}

/** Vectors that have random bytes in them: they must open. */
async function drawnVectors(keys: VectorKeys): Promise<unknown> {
  const [device, readKey] = [await importDeviceKey(fromHex(keys.device)), fromHex(keys.readKey)];
  const { publicKey } = await importReadKey(readKey);
  const vaultId = idOf(1, 9);
  const session = await createSession({ vaultId, epoch: 1, readKey: publicKey });
  const keyring = { role: Role.OWNER, epochs: [{ writeSecret: WRITE_SECRET, readKey }] };
  const content = { pin: PIN, keyring };
  const recovery = await deriveRecoveryKey(RECOVERY_SECRET);
  const { publicKeys } = recovery;
  const invite = await deriveInviteKeys(INVITE_SECRET);
  const granted = { vaultId, owner: device, role: Role.READER, expiresMs: TIME_MS };
  const grant = await grantInvite({ ...granted, publicKey: invite.publicKey });
  const newest = { number: 7, hash: idOf(7) };
  const bundle = { vaultId, newest, role: Role.READER, grant, keyring: { ...keyring, role: Role.READER } };
  const root = await sealRoot(SESSION, exampleRoot());
  const rsa = await importRsaPublicKey(device.publicKey.rsa);
  return {
    vaultId: hex(vaultId),
    session: { id: hex(session.id), key: hex(session.key), record: hex(session.record) },
    slot: hex(await sealSlot(content, { vaultId, publicKey: device.publicKey })),
    recoverySlot: hex(await sealRecoverySlot(content, { vaultId, publicKeys })),
    bundle: hex(await sealBundle(invite, bundle)),
    name: hex(await sealName("laptop", { writeSecret: WRITE_SECRET, epoch: 1 })),
    root: { id: hex(root.id), record: hex(root.record) },
    loginQuestion: hex(await encryptLoginSecret(rsa, LOGIN_SECRET)),
  };
}

export function exampleRoot(): Root {
  return {
    device: "ab".repeat(16),
    timeMs: TIME_MS,
    host: "laptop",
    paths: ["/home/ada"],
    tags: ["before the move"],
    totals: { entries: 3, files: 1, bytes: 14 },
    ...{ skipped: 1, top: referenceOf(5, 6), level: 1 },
  };
}

async function deriveAll(keys: VectorKeys): Promise<unknown> {
  const write = deriveWriteKeys(WRITE_SECRET);
  const labelKey = deriveLabelKey(WRITE_SECRET);
  const device = await importDeviceKey(fromHex(keys.device));
  const readKey = await importReadKey(fromHex(keys.readKey));
  const recovery = await deriveRecoveryKey(RECOVERY_SECRET);
  const invite = await deriveInviteKeys(INVITE_SECRET);
  const challenge = { pin: PIN, signer: device.id, nonce: NONCE };
  return {
    writeSecret: hex(WRITE_SECRET),
    recordKey: hex(write.recordKey),
    chunkTable: [...write.chunkTable],
    pathTable: [...write.pathTable],
    nameKey: hex(write.nameKey),
    secretCheck: hex(write.secretCheck),
    labelKey: hex(labelKey),
    labels: {
      set: hex(setLabel(labelKey, ["/etc", "/home/ada"])),
      tag: hex(tagLabel(labelKey, "before the move")),
    },
    device: { id: hex(device.id), keys: hex(encodeDeviceKeys(device.publicKey)) },
    readKey: hex(encodeReadKey(readKey.publicKey)),
    recovery: {
      secret: hex(RECOVERY_SECRET),
      code: formatRecoveryCode(RECOVERY_SECRET),
      id: hex(recovery.id),
      keys: hex(encodeRecoveryKeys(recovery.publicKeys)),
    },
    invite: {
      secret: hex(INVITE_SECRET),
      token: hex(invite.token),
      sealKey: hex(invite.sealKey),
      publicKey: hex(invite.publicKey),
    },
    login: {
      ...{ secret: hex(LOGIN_SECRET), pin: hex(PIN), nonce: hex(NONCE) },
      proof: hex(proveLogin(LOGIN_SECRET, challenge)),
    },
  };
}

async function sealAll(): Promise<unknown> {
  const { recordKey } = deriveWriteKeys(WRITE_SECRET);
  const text = (value: string) => new TextEncoder().encode(value);
  const contents: [string, RecordContent][] = [
    ["nothing", { type: RecordType.DATA, links: [], plaintext: new Uint8Array(0) }],
    ["a few bytes, raw", { type: RecordType.DATA, links: [], plaintext: text("hello, vault") }],
    ["text, zstd", { type: RecordType.DATA, links: [], plaintext: text("la ".repeat(200)) }],
    ["random bytes, padded", { type: RecordType.DATA, links: [], plaintext: pseudoRandom(999, 1) }],
    ["links", { type: RecordType.SEGMENT, links: [idOf(1), idOf(2)], plaintext: text("{}\n") }],
  ];
  const vectors = [];
  for (const [name, content] of contents) {
    const { id, key, record } = sealWhole(recordKey, content);
    const { type, links, plaintext } = content;
    const { maskedKey } = maskKey(SESSION, { id, key });
    vectors.push({
      ...{ name, type, links: links.map(hex), plaintext: hex(plaintext) },
      ...{ key: hex(key), record: hex(record), id: hex(id), maskedKey: hex(maskedKey) },
    });
  }
  return { recordKey: hex(recordKey), sessionKey: hex(SESSION.key), records: vectors };
}

function cutAll(): unknown {
  const { chunkTable, pathTable } = deriveWriteKeys(WRITE_SECRET);
  const bytes = concatBytes(pseudoRandom(8 << 20, 1), new Uint8Array(5 << 20));
  const chunker = new Chunker(chunkTable);
  const chunks: number[] = [];
  for (let start = 0, cut = 0; cut >= 0; start = cut) {
    cut = chunker.find(bytes, { start, end: bytes.length });
    if (cut >= 0) chunks.push(cut - start);
  }
  const files = Array.from({ length: 100 }, (_, i) => pseudoRandom(2000 * (1 + i % 20), i));
  const ends = files.map((file) => endsRecord(pathTable, { recordBytes: 200_000, file }));
  return {
    padme: [0, 1, 2, 9, 100, 1000, 8000, 1_000_000, 4_000_000].map((n) => [n, padmeSize(n)]),
    chunks: {
      input: "8 MiB of xorshift32 (tests/vault/fixture.ts, seed 1), then 5 MiB of zeros",
      sizes: chunks,
    },
    keyedHash: ["", "/", "/home/ada", "/home/ada/é"].map((path) => {
      return [path, keyedHash(pathTable, 0, new TextEncoder().encode(path))];
    }),
    smallFiles: {
      input: "file i of 100: 2000 * (1 + i % 20) bytes of xorshift32, seed i, in a record of 200000",
      ends: ends.flatMap((isEnd, i) => isEnd ? [i] : []),
    },
  };
}

async function buildTree(): Promise<unknown> {
  const { pathTable } = deriveWriteKeys(WRITE_SECRET);
  const records: unknown[] = [];
  const emit = ({ type, links, plaintext }: RecordContent) => {
    records.push({ type, links: links.map(hex), ...shown(plaintext) });
    return Promise.resolve(referenceOf(1000 + records.length));
  };
  const contents = new ContentsBuilder({ pathTable, emit });
  for (let i = 0; i < 1001; i++) await contents.add(extentOf(i));
  const builder = new TreeBuilder({ pathTable, emit });
  for (const entry of exampleEntries()) await builder.add(entry);
  await builder.add(entryOf("/z-big", await contents.finish()));
  const tree = await builder.finish();
  return { level: tree.level, totals: tree.totals, top: hex(tree.top.id), records };
}

/** The text of a short record; of a long one its hash and how it begins. */
function shown(plaintext: Uint8Array): Record<string, unknown> {
  const text = new TextDecoder().decode(plaintext);
  if (text.length < 16_000) return { text };
  return { bytes: plaintext.length, sha256: hex(recordId(plaintext)), start: text.slice(0, 12_000) };
}

function extentOf(i: number): Extent {
  return i === 7 ? { offset: 0, length: 4096 } : { reference: referenceOf(i), offset: 0, length: 9 };
}

function* exampleEntries(): Generator<Entry> {
  yield entryOf("/", { type: "dir", mode: 0o755 });
  yield entryOf("/a", { type: "dir", mode: 0o755 });
  const extents = [{ reference: referenceOf(1), offset: 3, length: 4 }, { offset: 0, length: 10 }];
  yield entryOf("/a/héllo \"x\"\n", { size: 14, extents, nlink: 2 });
  yield entryOf("/a.b", { type: "symlink", target: "a/héllo" });
  for (let i = 0; i < 600; i++) {
    const reference = referenceOf(Math.floor(i / 50), i < 300 ? 1 : 2);
    const extents = [{ reference, offset: i % 50, length: 1 }];
    yield entryOf(`/many/${String(i).padStart(4, "0")}${"-long".repeat(100)}`, { size: 1, extents });
  }
}

async function makeJournal(keys: VectorKeys): Promise<unknown> {
  const owner = await importDeviceKey(fromHex(keys.device));
  const writer = await importDeviceKey(fromHex(keys.writer));
  const { publicKey: readKey } = await importReadKey(fromHex(keys.readKey));
  const code = await deriveRecoveryKey(RECOVERY_SECRET);
  const nextCode = await deriveRecoveryKey(NEXT_RECOVERY_SECRET);
  const { secretCheck } = deriveWriteKeys(WRITE_SECRET);
  const sealedName = new Uint8Array(287).fill(1);
  const found = await proveCode({
    ...{ kind: EventKind.FOUND, signer: owner.id, seen: JOURNAL_START },
    body: encodeFoundFields({
      ...{ owner: owner.publicKey, recovery: code.publicKeys, readKey, secretCheck, sealedName },
    }),
  }, { sign: code.sign });
  const vaultId = vaultIdOf(found);
  const root = idOf(50);
  const commit = encodeCommit({ root, setLabel: idOf(51).slice(0, 16), tagLabels: [] });
  const policy = { holdMs: 864e5 * 7, last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 0 };
  const device = encodeDevice({ role: Role.WRITER, keys: writer.publicKey, sealedName });
  const steps = [
    [owner, EventKind.FOUND, found],
    [owner, EventKind.DEVICE, device],
    [writer, EventKind.COMMIT, commit],
    [owner, EventKind.POLICY, encodePolicy(policy)],
    [owner, EventKind.FORGET, encodeRoots([root])],
    [owner, EventKind.REVOKE, encodeRevoke(writer.id)],
  ] as const;
  const state = new JournalState();
  const events: string[] = [];
  const place = (statement: Uint8Array, timeMs: number) => {
    const { number, hash } = state.newest;
    const event = encodeEvent({ number: number + 1, previous: hash, timeMs }, statement);
    state.apply(event);
    events.push(hex(event));
  };
  for (const [index, [signer, kind, body]] of steps.entries()) {
    const statement = { kind, signer: signer.id, seen: state.newest, body };
    place(await signStatement(statement, { vaultId, sign: signer.sign }), TIME_MS + index);
  }
  const replaced = { kind: EventKind.RECOVERY, signer: owner.id, seen: state.newest };
  const fields = encodeRecoveryFields({ keys: nextCode.publicKeys });
  const body = await proveCode({ ...replaced, body: fields }, { vaultId, sign: nextCode.sign });
  place(await signStatement({ ...replaced, body }, { vaultId, sign: owner.sign }), TIME_MS + 6);
  const unsigned = {
    ...{ signer: new Uint8Array(16), seen: JOURNAL_START, signature: new Uint8Array(64) },
  };
  const restore = encodeRestore({ what: Restored.DEVICE, id: writer.id, number: 0 });
  place(encodeStatement({ ...unsigned, kind: EventKind.RESTORE, body: restore }), TIME_MS + 864e5);
  const drill = encodeDrill({
    ...{ root, files: 100, bytes: 2 ** 33 + 5, compared: 90, differing: 1, damaged: 2 },
  });
  const drilled = { kind: EventKind.DRILL, signer: owner.id, seen: state.newest, body: drill };
  place(await signStatement(drilled, { vaultId, sign: owner.sign }), TIME_MS + 2 * 864e5);
  const drop = encodeRoots([root]);
  place(encodeStatement({ ...unsigned, kind: EventKind.DROP, body: drop }), TIME_MS + 31 * 864e5);
  return { vaultId: hex(vaultId), newest: hex(state.newest.hash), events };
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}

async function readJson(name: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(new URL(`${name}.json`, import.meta.url)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function writeJson(name: string, value: unknown): Promise<void> {
  const text = JSON.stringify(value, null, 1) + "\n";
  await Deno.writeTextFile(new URL(`${name}.json`, import.meta.url), text);
}

if (import.meta.main) {
  const keys = await readJson("keys") as VectorKeys | undefined ?? {
    device: hex(await generateDeviceKey()),
    writer: hex(await generateDeviceKey()),
    readKey: hex(await generateReadKey()),
  };
  await writeJson("keys", keys);
  await writeJson("drawn", await readJson("drawn") ?? await drawnVectors(keys));
  for (const [name, value] of Object.entries(await exactVectors(keys))) await writeJson(name, value);
}
