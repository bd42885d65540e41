/**
 * How a client reaches its server and logs in (docs/protocol_v4.md, "Channel" and "Login"). Everything that describes a
 * server or a login is plain data, so that it can be handed to a worker.
 */
import { equalBytes } from "../bytes.ts";
import { DamagedError, HoldfastError, UnreachableError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import type { Signer } from "../journal.ts";
import { CLIENT_DEFAULTS, VAULT_CLIENT } from "../limits.ts";
import { decryptLoginSecret, loginMessage, proveLogin } from "../login.ts";
import { AnswerCode, decodeEventsPage, encodeEventsAfter } from "../protocol_v4.ts";
import { type EventsPage, RequestCode } from "../protocol_v4.ts";
import {
  type Challenge,
  decodeChallenge,
  decodeWelcome,
  encodeHello,
  type Hello,
  LoginKind,
  type Welcome,
} from "../protocol_v4_login.ts";
import { connectPinned } from "../tls.ts";
import { ask, type Question } from "./request_v4.ts";
import { Wire } from "./wire_v4.ts";

/** A server: where it may be, and how it is recognised. */
export interface ServerPlace {
  /** Tried one after another. */
  addresses: HostPort[];
  /** SHA-256 of its public key, 32 bytes. */
  pin: Uint8Array;
  certificatePem: string;
}

/** What a device logs in with. */
export interface DeviceLogin {
  /** 32 bytes. */
  vaultId: Uint8Array;
  /** 16 bytes. */
  deviceId: Uint8Array;
  /** RSA-3072, PKCS#8. */
  loginKey: Uint8Array;
}

/** What a recovery code logs in with. */
export interface RecoveryLogin {
  /** The locator, 16 bytes. */
  id: Uint8Array;
  sign: Signer;
}

/** What a login gave. */
export interface LoggedIn {
  welcome: Welcome;
  /** The first page of events after the number that was named. */
  firstPage: EventsPage;
}

/**
 * Connects to the first address that answers.
 *
 * @throws {UnreachableError} if none does
 * @throws {RefusedError} if the server that answers has another key
 */
export async function connectWire(place: ServerPlace): Promise<Wire> {
  const certificate = { pem: place.certificatePem, pin: new Uint8Array(place.pin) };
  const { connectMs } = CLIENT_DEFAULTS;
  let failure: unknown;
  for (const address of place.addresses) {
    try {
      const conn = await connectPinned(address, { certificate, connectMs });
      return new Wire(conn, { answerMs: VAULT_CLIENT.answerMs });
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      // That a server is not at one address says less than that another one is.
      if (failure === undefined || failure instanceof UnreachableError) failure = error;
    }
  }
  if (place.addresses.length > 1 && failure instanceof UnreachableError) {
    const addresses = place.addresses.map(formatHostPort).join(", ");
    throw new UnreachableError(`Cannot reach server at any of ${addresses}`, { cause: failure });
  }
  throw failure;
}

/**
 * Logs a device in and asks for events in the same breath.
 *
 * @param eventsAfter number of the newest event that is known
 * @throws {RefusedError} if the server does not know the device, or it is revoked
 */
export async function logInDevice(
  wire: Wire,
  { pin, login, eventsAfter }: { pin: Uint8Array; login: DeviceLogin; eventsAfter: number },
): Promise<LoggedIn> {
  const { vaultId, deviceId, loginKey } = login;
  const hello = { kind: LoginKind.DEVICE, id: deviceId, vaultId };
  const { nonce, cipher } = await sayHello(wire, hello);
  const key = await importLoginKey(loginKey);
  const secret = await decryptLoginSecret(key, cipher);
  const proof = proveLogin(secret, { pin, signer: deviceId, nonce });
  const loggedIn = await prove(wire, { proof, eventsAfter });
  if (!equalBytes(loggedIn.welcome.vaultId, vaultId)) {
    throw new DamagedError("Cannot trust server: it answers for another vault");
  }
  return loggedIn;
}

/** The same for a recovery code. Which vault it is for, the answer tells. */
export async function logInRecovery(
  wire: Wire,
  { pin, login }: { pin: Uint8Array; login: RecoveryLogin },
): Promise<LoggedIn> {
  const { nonce } = await sayHello(wire, { kind: LoginKind.RECOVERY, id: login.id });
  const proof = await login.sign(loginMessage({ pin, signer: login.id, nonce }));
  return await prove(wire, { proof, eventsAfter: 0 });
}

function sayHello(wire: Wire, hello: Hello): Promise<Challenge> {
  return askWire(wire, {
    code: RequestCode.HELLO,
    purpose: "log in",
    payload: [encodeHello(hello)],
    answers: { [AnswerCode.CHALLENGE]: decodeChallenge },
  });
}

async function prove(
  wire: Wire,
  { proof, eventsAfter }: { proof: Uint8Array; eventsAfter: number },
): Promise<LoggedIn> {
  const welcoming = askWire(wire, {
    code: RequestCode.PROVE,
    purpose: "log in",
    payload: [proof],
    answers: { [AnswerCode.WELCOME]: decodeWelcome },
  });
  const firstPage = askWire(wire, eventsQuestion(eventsAfter));
  firstPage.catch(() => {}); // after a refused proof its failure says nothing more
  const welcome = await welcoming;
  wire.idleMs = welcome.limits.idleMs;
  return { welcome, firstPage: await firstPage };
}

/** Asks for the page of events that follows an event. */
export function eventsQuestion(after: number): Question<EventsPage> {
  return {
    code: RequestCode.EVENTS,
    purpose: "read the journal",
    payload: [encodeEventsAfter(after)],
    answers: { [AnswerCode.EVENTS]: decodeEventsPage },
  };
}

/** Asks on one connection; if that ends, the question has failed. */
export async function askWire<T>(wire: Wire, question: Question<T>): Promise<T> {
  const ending = wire.ended.then((error) => {
    throw error;
  });
  return await Promise.race([ask((request) => wire.send(request), question), ending]);
}

async function importLoginKey(pkcs8: Uint8Array): Promise<CryptoKey> {
  const algorithm = { name: "RSA-OAEP", hash: "SHA-256" };
  try {
    const der = new Uint8Array(pkcs8);
    return await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["decrypt"]);
  } catch (cause) {
    throw new DamagedError("Cannot use login key: not an RSA key in PKCS#8", { cause });
  }
}
