/**
 * The channel of protocol version 4 (docs/protocol_v4.md, "Channel"): TLS of the runtime, and the pin by which a client
 * knows its server. How a server makes its certificate is in `server/certificate.ts`.
 */
import { createHash, X509Certificate } from "node:crypto";
import { connect as connectTls } from "node:tls";
import { encodeBase32 } from "./base32.ts";
import { equalBytes } from "./bytes.ts";
import { ProtocolError, RefusedError, UnreachableError } from "./errors.ts";
import { formatHostPort, type HostPort } from "./flags.ts";
import { ALPN } from "./protocol_v4.ts";
import { within } from "./time.ts";

/** A server's certificate, and what follows from it. */
export interface ServerCertificate {
  pem: string;
  /** SHA-256 of its SubjectPublicKeyInfo. 32 bytes. */
  pin: Uint8Array<ArrayBuffer>;
}

/** The only name of the certificate with this pin. Nobody else can have it certified. */
export function pinnedName(pin: Uint8Array): string {
  return `${encodeBase32(pin)}.holdfast.invalid`;
}

/**
 * Takes a certificate apart.
 *
 * @throws {ProtocolError} if it is none
 */
export function readCertificate(certificate: string | Uint8Array): ServerCertificate {
  try {
    const parsed = new X509Certificate(certificate);
    const key = parsed.publicKey.export({ type: "spki", format: "der" });
    return { pem: encodePem(parsed.raw, "CERTIFICATE"), pin: pinOf(key) };
  } catch (cause) {
    throw new ProtocolError("Cannot read certificate: it is malformed", { cause });
  }
}

/** The pin of a public key in DER (SubjectPublicKeyInfo). */
export function pinOf(publicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(publicKey).digest());
}

/** DER as PEM (RFC 7468). */
export function encodePem(der: Uint8Array, label: string): string {
  const lines = new Uint8Array(der).toBase64().match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/**
 * Gets a server's certificate over a connection on which nothing is believed and nothing is sent.
 *
 * @param pin what its key must hash to; without it, the answer is whoever answered, and provisional
 * @throws {UnreachableError} if it does not answer
 * @throws {RefusedError} if it has another key
 */
export async function fetchCertificate(
  address: HostPort,
  { pin, connectMs }: { pin?: Uint8Array; connectMs: number },
): Promise<ServerCertificate> {
  const certificate = readCertificate(await fetchRawCertificate(address, connectMs));
  if (pin !== undefined && !equalBytes(certificate.pin, pin)) throw wrongKey(address);
  return certificate;
}

/**
 * Connects to the server that has this certificate, and to no other.
 *
 * @throws {UnreachableError} if it cannot be reached
 * @throws {RefusedError} if the server there has another key
 */
export async function connectPinned(
  address: HostPort,
  { certificate, connectMs }: { certificate: ServerCertificate; connectMs: number },
): Promise<Deno.TlsConn> {
  const tcp = await connectTcp(address, connectMs);
  tcp.setNoDelay(true); // only here: a connection that has become TLS has no such call
  const tls = await Deno.startTls(tcp, {
    hostname: pinnedName(certificate.pin),
    caCerts: [certificate.pem],
    alpnProtocols: [ALPN],
  });
  try {
    const shaken = await within(tls.handshake(), connectMs, undefined);
    if (shaken === undefined) throw new UnreachableError("no answer");
    if (shaken.alpnProtocol !== ALPN) throw new ProtocolError(`it does not speak ${ALPN}`);
    return tls;
  } catch (cause) {
    tls.close();
    if (cause instanceof Deno.errors.InvalidData) throw wrongKey(address, cause);
    if (cause instanceof ProtocolError) throw cause;
    throw new UnreachableError(`Cannot reach server ${formatHostPort(address)}`, { cause });
  }
}

async function connectTcp(address: HostPort, connectMs: number): Promise<Deno.TcpConn> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), connectMs);
  try {
    return await Deno.connect({ ...address, signal: abort.signal });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new UnreachableError(`Cannot reach server ${formatHostPort(address)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

function fetchRawCertificate(address: HostPort, connectMs: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host: address.hostname,
      port: address.port,
      rejectUnauthorized: false, // the key is compared with the pin instead
      servername: "holdfast.invalid",
      ALPNProtocols: [ALPN],
      timeout: connectMs,
    });
    const end = (settle: () => void) => {
      socket.destroy();
      settle();
    };
    const fail = (cause: unknown) => {
      const message = `Cannot reach server ${formatHostPort(address)}`;
      end(() => reject(new UnreachableError(message, { cause })));
    };
    socket.once("secureConnect", () => {
      const raw = socket.getPeerCertificate().raw as Uint8Array | undefined;
      if (raw === undefined) fail(new ProtocolError("it shows no certificate"));
      else end(() => resolve(new Uint8Array(raw)));
    });
    socket.once("timeout", () => fail(new UnreachableError("no answer")));
    socket.once("error", fail);
    socket.once("close", () => fail(new UnreachableError("connection closed")));
  });
}

function wrongKey(address: HostPort, cause?: unknown): RefusedError {
  return new RefusedError(
    `Cannot trust server ${formatHostPort(address)}: it has another key than the pinned one`,
    { hint: "somebody stands between, or the server was set up anew", cause },
  );
}
