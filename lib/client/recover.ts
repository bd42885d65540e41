/** `client recover`: makes this machine an owner device of a vault of which only the recovery code is left. */
import { equalBytes } from "../bytes.ts";
import { DamagedError, ExitCode, HoldfastError, RefusedError, UsageError } from "../errors.ts";
import { type HostPort, parseFlags, parseHostPort } from "../flags.ts";
import { Role } from "../identity.ts";
import { decodeSlot, encodeDevice } from "../journal_body.ts";
import { EventKind, JournalError, signStatement } from "../journal.ts";
import type { JournalFacts } from "../journal_facts.ts";
import { JournalState } from "../journal_state.ts";
import { CLIENT_DEFAULTS } from "../limits.ts";
import { type Command, print, printError } from "../program.ts";
import { fetchCertificate } from "../tls.ts";
import { sealName } from "../vault/device_name.ts";
import {
  checkKeyring,
  isMissingEpoch,
  type Keyring,
  openRecoverySlot,
  type SlotContent,
} from "../vault/keyring.ts";
import type { DevicePrivateKey } from "../vault/private_key.ts";
import {
  deriveRecoveryKey,
  parseRecoveryCode,
  type RecoveryPrivateKey,
} from "../vault/recovery.ts";
import { noteReturned } from "./brought_back.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { type Enrolment, firstLogin } from "./enrolment.ts";
import { checkDeviceName, prepareDevice } from "./init.ts";
import { followJournal, readEvent } from "./journal_sync.ts";
import type { ServerPlace } from "./login_v4.ts";
import { hasProfile, writeProfile } from "./profile.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { readCode } from "./recovery_code.ts";
import { VaultClientSession } from "./session_v4.ts";
import { hostName } from "./terminal.ts";

const HELP = `client recover: gets a vault back with its recovery code

Usage: client recover [flags] ADDRESS

ADDRESS is the server's HOST:PORT. The code is asked for, or read from a file. This machine
becomes an owner device of the vault; revoke the devices that are lost.

${PROFILE_HELP}
  --code-file FILE file that holds the recovery code
  --device NAME    name by which the vault's other devices know this one (the host's)
  --json           one JSON object on standard output`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  "code-file": { type: "string" },
  device: { type: "string" },
} as const;

interface RecoverOptions {
  address: HostPort;
  folder: ProfileFolder;
  deviceName: string;
  codePath: string | undefined;
  json: boolean;
}

export const RECOVER_COMMAND: Command = {
  summary: "get a vault back with its recovery code",
  help: HELP,
  run: (args) => recover(parseOptions(args)),
};

async function recover(options: RecoverOptions): Promise<number> {
  const { address, folder, deviceName, codePath, json } = options;
  folder.checkWritable("make a profile");
  if (hasProfile(folder)) {
    throw new UsageError(`Cannot make a profile: there is one in ${folder.path}`, {
      hint: "--profile DIR makes another one elsewhere",
    });
  }
  const key = await deriveRecoveryKey(parseRecoveryCode(await readCode(codePath)));
  // Whoever answers there: the pin is compared once the slot is open.
  const { pem, pin } = await fetchCertificate(address, { connectMs: CLIENT_DEFAULTS.connectMs });
  const server = { addresses: [address], pin, certificatePem: pem };
  folder.create();
  const device = await prepareDevice(folder);
  const enrolment = await addOwner({ server, key, device, deviceName });
  const { vaultId } = enrolment;
  const { profile, session } = await firstLogin({ server, device, enrolment, folder });
  session.close();
  await noteReturned(profile, new Set());
  await writeProfile(folder, profile);
  const snapshots = profile.journal.facts.snapshots.size;
  if (json) {
    const ids = { vault: vaultId.toHex(), device: device.id.toHex() };
    print(JSON.stringify({ event: "recovered", ...ids, snapshots, profile: folder.path }));
  } else {
    printError(`vault ${vaultId.toHex().slice(0, 16)} with ${snapshots} snapshots is back`);
    printError(`device "${deviceName}" is now an owner of it; its keys are in ${folder.path}`);
  }
  return ExitCode.DONE;
}

/** Logs in with the code, opens its slot, and adds the device unless an earlier attempt has. */
async function addOwner(
  { server, key, device, deviceName }: {
    server: ServerPlace;
    key: RecoveryPrivateKey;
    device: DevicePrivateKey;
    deviceName: string;
  },
): Promise<Pick<Enrolment, "vaultId" | "deviceName" | "keyring" | "expected">> {
  const session = await connect(server, key);
  try {
    const { vaultId } = session.welcome;
    const journal = await readJournal(session, vaultId);
    const slotKeyring = await openKeyring({ server, key, journal, session });
    const keyring = withoutDoubtful(slotKeyring, journal.facts);
    let expected = journal.newest;
    if (journal.device(device.id) === undefined) {
      const epoch = keyring.epochs.length;
      const { writeSecret } = keyring.epochs[epoch - 1];
      const sealedName = await sealName(deviceName, { writeSecret, epoch });
      const body = encodeDevice({ role: Role.OWNER, keys: device.publicKey, sealedName });
      const fields = { kind: EventKind.DEVICE, signer: key.id, seen: journal.newest, body };
      expected = await session.append(await signStatement(fields, { vaultId, sign: key.sign }));
    }
    return { vaultId, deviceName, keyring, expected };
  } finally {
    session.close();
  }
}

/** The journal, if it is of a vault that this code was made for: its rules demand the code's own signature. */
async function readJournal(
  session: VaultClientSession,
  vaultId: Uint8Array,
): Promise<JournalState> {
  const journal = new JournalState();
  try {
    await followJournal(journal, { session, vaultId });
    return journal;
  } catch (cause) {
    if (!(cause instanceof JournalError) || cause.fault !== "code") throw cause;
    throw new DamagedError(
      `Cannot trust server: it shows a vault that was not made with this recovery code (${cause.message})`,
      {
        hint:
          "somebody has made it who knows the code's public half, as the server's operator does",
        cause,
      },
    );
  }
}

/**
 * Without the newest epochs if an owner began them whom the server's operator had brought back: as every device, this one
 * takes no keys from such an owner to write with. It can begin an epoch itself.
 */
function withoutDoubtful(keyring: Keyring, { epochs, recovery }: JournalFacts): Keyring {
  if (recovery.isRestored) return keyring;
  const known = keyring.epochs.map((secrets, index) =>
    !isMissingEpoch(secrets) && !epochs[index].isRestored
  );
  return { ...keyring, epochs: keyring.epochs.slice(0, known.lastIndexOf(true) + 1) };
}

async function connect(server: ServerPlace, key: RecoveryPrivateKey): Promise<VaultClientSession> {
  try {
    return await VaultClientSession.connectRecovery({ server, login: key });
  } catch (cause) {
    if (!(cause instanceof RefusedError)) throw cause;
    throw new RefusedError("Cannot recover: no vault at this server has this recovery code", {
      hint: "is it the right server, and the newest code of the vault?",
      cause,
    });
  }
}

/** The keyring out of the code's slot, if it is that of the journal and of this server. */
async function openKeyring(
  { server, key, journal, session }: {
    server: ServerPlace;
    key: RecoveryPrivateKey;
    journal: JournalState;
    session: VaultClientSession;
  },
): Promise<Keyring> {
  const { recovery, slots, vaultId } = journal.facts;
  if (!equalBytes(recovery.id, key.id)) {
    throw new DamagedError("Cannot trust server: its vault has another recovery code than this");
  }
  const slot = slots.get(key.id.toHex());
  if (slot === undefined) {
    throw new HoldfastError("Cannot recover: the vault's owner has left no keys for this code");
  }
  const { sealed, epoch } = decodeSlot((await readEvent(session, slot.event)).body);
  const { pin, keyring } = await openSlot(key, { vaultId, epoch, sealed });
  if (!equalBytes(pin, server.pin)) {
    throw new RefusedError("Cannot trust server: it has another key than the vault's server", {
      hint: "somebody stands between, or the server was set up anew",
    });
  }
  try {
    await checkKeyring(keyring, journal.facts);
  } catch (cause) {
    throw cause instanceof DamagedError ? falseKeys(cause) : cause;
  }
  return keyring;
}

async function openSlot(
  key: RecoveryPrivateKey,
  slot: Parameters<typeof openRecoverySlot>[1],
): Promise<SlotContent> {
  try {
    return await openRecoverySlot(key, slot);
  } catch (cause) {
    throw cause instanceof DamagedError ? falseKeys(cause) : cause;
  }
}

/** The code is right, or its slot could not have been found: somebody has put other keys there. */
function falseKeys(cause: DamagedError): DamagedError {
  return new DamagedError(`Cannot trust server: it offers false key material (${cause.message})`, {
    hint: "the code is right; the server's operator may have the slot that was there before",
    cause,
  });
}

function parseOptions(args: string[]): RecoverOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 1) {
    throw new UsageError("Cannot recover: the server's address is needed", {
      hint: "client recover HOST:PORT",
    });
  }
  return {
    address: parseHostPort(positionals[0]),
    folder: profileOf(values),
    deviceName: checkDeviceName(readText(values, "device") ?? hostName()),
    codePath: readText(values, "code-file"),
    json: values.json === true,
  };
}
