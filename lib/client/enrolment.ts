/**
 * How a device comes into a vault (docs/protocol_v4.md, "Enrolment"): it founds one, joins by an owner's invite, or is
 * added with the recovery code. What is sent once is on disk before, so that it can be sent again to the byte.
 */
import { RefusedError, UnreachableError } from "../errors.ts";
import { inviteId, Role } from "../identity.ts";
import type { Invite } from "../invite_line.ts";
import { encodeDevice, encodeFoundFields, encodeSlot } from "../journal_body.ts";
import { proveCode } from "../journal_code.ts";
import {
  EventKind,
  JOURNAL_START,
  JournalError,
  type JournalPoint,
  signStatement,
  vaultIdOf,
} from "../journal.ts";
import { JournalState } from "../journal_state.ts";
import { CLIENT_DEFAULTS } from "../limits.ts";
import { AnswerCode, decodeAppended, RequestCode } from "../protocol_v4.ts";
import { decodeBundle, encodeEnrolment, encodeToken } from "../protocol_v4_login.ts";
import { fetchCertificate } from "../tls.ts";
import { sealName } from "../vault/device_name.ts";
import { deriveInviteKeys, openBundle } from "../vault/invite.ts";
import { checkKeyring, type Keyring, sealRecoverySlot } from "../vault/keyring.ts";
import { type DevicePrivateKey, generateReadKey, importReadKey } from "../vault/private_key.ts";
import type { RecoveryPrivateKey } from "../vault/recovery.ts";
import { deriveWriteKeys, WRITE_SECRET_BYTES } from "../vault/secrets.ts";
import { followJournal } from "./journal_sync.ts";
import { askWire, connectWire, type ServerPlace } from "./login_v4.ts";
import { deviceLogin, type Profile } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { VaultClientSession } from "./session_v4.ts";
import { signByDevice } from "./vault_access.ts";

/** What was prepared to be sent, and what comes of it when it is taken. */
export interface Enrolment {
  kind: Invite["kind"];
  token: Uint8Array;
  statement: Uint8Array;
  vaultId: Uint8Array;
  deviceName: string;
  keyring: Keyring;
  /** An event that the vault's journal must have; number 0 for a new vault. */
  expected: JournalPoint;
}

/** Finds the server of an invite at one of its addresses, and takes its certificate. */
export async function findServer({ addresses, pin }: Invite): Promise<ServerPlace> {
  let failure: unknown;
  for (const address of addresses) {
    try {
      const { connectMs } = CLIENT_DEFAULTS;
      const { pem } = await fetchCertificate(address, { pin, connectMs });
      return { addresses, pin, certificatePem: pem };
    } catch (error) {
      if (!(error instanceof UnreachableError || error instanceof RefusedError)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

/** Makes the keys of a new vault, and the statement that founds it. */
export async function prepareFounding(
  { token, device, deviceName, recovery }: {
    token: Uint8Array;
    device: DevicePrivateKey;
    deviceName: string;
    recovery: RecoveryPrivateKey;
  },
): Promise<Enrolment> {
  const writeSecret = crypto.getRandomValues(new Uint8Array(WRITE_SECRET_BYTES));
  const readKey = await generateReadKey();
  const fields = encodeFoundFields({
    owner: device.publicKey,
    recovery: recovery.publicKeys,
    readKey: (await importReadKey(readKey)).publicKey,
    secretCheck: deriveWriteKeys(writeSecret).secretCheck,
    sealedName: await sealName(deviceName, { writeSecret, epoch: 1 }),
  });
  const unproven = { kind: EventKind.FOUND, signer: device.id, seen: JOURNAL_START, body: fields };
  const body = await proveCode(unproven, { sign: recovery.sign });
  const vaultId = vaultIdOf(body);
  const statement = await signStatement({ ...unproven, body }, { vaultId, sign: device.sign });
  const keyring = { role: Role.OWNER, epochs: [{ writeSecret, readKey }] };
  return { kind: "new", token, statement, vaultId, deviceName, keyring, expected: JOURNAL_START };
}

/** Fetches what an owner has left for the holder of the invite, and makes the statement that joins. */
export async function prepareJoining(
  { server, secret, device, deviceName }: {
    server: ServerPlace;
    secret: Uint8Array;
    device: DevicePrivateKey;
    deviceName: string;
  },
): Promise<Enrolment> {
  const invite = await deriveInviteKeys(secret);
  const bundle = await openBundle(invite, await fetchBundle(server, invite.token));
  const { vaultId, role, grant, keyring, newest } = bundle;
  const epoch = keyring.epochs.length;
  const { writeSecret } = keyring.epochs[epoch - 1];
  const sealedName = await sealName(deviceName, { writeSecret, epoch });
  const body = encodeDevice({ role, keys: device.publicKey, sealedName, grant });
  const signer = inviteId(invite.publicKey);
  const fields = { kind: EventKind.DEVICE, signer, seen: newest, body };
  const statement = await signStatement(fields, { vaultId, sign: invite.sign });
  const { token } = invite;
  return { kind: "join", token, statement, vaultId, deviceName, keyring, expected: newest };
}

/** Sends an enrolment. Once more is as good as once. */
export async function enrol(
  server: ServerPlace,
  { kind, token, statement }: Enrolment,
): Promise<JournalPoint> {
  return await withStranger(server, (wire) =>
    askWire(wire, {
      code: kind === "new" ? RequestCode.FOUND : RequestCode.JOIN,
      purpose: kind === "new" ? "found a vault" : "join the vault",
      payload: [encodeEnrolment({ token, statement })],
      answers: { [AnswerCode.APPENDED]: decodeAppended },
    }));
}

/** Logs in as the device that has just been added, and checks what it was told before anything else. */
export async function firstLogin(
  { server, device, enrolment, folder }: {
    server: ServerPlace;
    device: DevicePrivateKey;
    enrolment: Pick<Enrolment, "vaultId" | "deviceName" | "keyring" | "expected">;
    folder: ProfileFolder;
  },
): Promise<{ profile: Profile; session: VaultClientSession }> {
  const { vaultId, deviceName, keyring, expected } = enrolment;
  const login = await deviceLogin({ vaultId, device });
  const session = await VaultClientSession.connect({ server, login });
  try {
    const journal = new JournalState();
    await followJournal(journal, { session, vaultId });
    if (expected.number > 0) checkExpected(journal, expected);
    await checkKeyring(keyring, journal.facts);
    const profile = { folder, vaultId, deviceName, server, device, keyring, journal };
    return { profile, session };
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Leaves the keyring for the recovery code, unless it is there. */
export async function leaveRecoverySlot(
  profile: Profile,
  session: VaultClientSession,
): Promise<void> {
  const { journal, keyring, vaultId, server } = profile;
  const { recovery, slots } = journal.facts;
  const epoch = keyring.epochs.length;
  if (slots.get(recovery.id.toHex())?.epoch === epoch) return;
  const content = { pin: server.pin, keyring };
  const sealed = await sealRecoverySlot(content, { vaultId, publicKeys: recovery.keys });
  const body = encodeSlot({ recipient: recovery.id, epoch, sealed });
  await session.append(await signByDevice(profile, { kind: EventKind.SLOT, body }));
  for await (const event of session.events(journal.newest.number)) journal.apply(event);
}

async function fetchBundle(server: ServerPlace, token: Uint8Array): Promise<Uint8Array> {
  return await withStranger(server, (wire) =>
    askWire(wire, {
      code: RequestCode.FETCH_INVITE,
      purpose: "fetch the invite",
      payload: [encodeToken(token)],
      answers: { [AnswerCode.BUNDLE]: decodeBundle },
    }));
}

async function withStranger<T>(
  server: ServerPlace,
  act: (wire: Awaited<ReturnType<typeof connectWire>>) => Promise<T>,
): Promise<T> {
  const wire = await connectWire(server);
  try {
    return await act(wire);
  } finally {
    wire.close();
  }
}

/** The owner who made the invite had seen this event; so the server must show it to us too. */
function checkExpected(journal: JournalState, expected: JournalPoint): void {
  try {
    journal.checkPoint(expected);
  } catch (error) {
    if (!(error instanceof JournalError) || error.fault !== "stale") throw error;
  }
}
