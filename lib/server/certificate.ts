/**
 * The server's key and certificate (docs/protocol_v4.md, "Channel"): made on the first start, kept in the data folder.
 * The key is what clients have pinned; the certificate can be made again from it at any time.
 */
import "reflect-metadata"; // @peculiar/x509 needs it to be there first
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { join } from "node:path";
import { equalBytes } from "../bytes.ts";
import { writeFileDurably } from "../durable.ts";
import { HoldfastError, ProtocolError } from "../errors.ts";
import { encodePem, pinnedName, pinOf, readCertificate, type ServerCertificate } from "../tls.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** A wrong clock must lock nobody out. */
const VALID_FROM = new Date("2000-01-01T00:00:00Z");
const VALID_TO = new Date("9999-12-31T23:59:59Z");
const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;

export interface ServerKey extends ServerCertificate {
  /** PKCS#8, PEM. */
  privateKeyPem: string;
}

/**
 * Reads `server.key` and `server.crt`, and makes what is missing. To be called by whoever holds the data folder.
 *
 * @throws {HoldfastError} if the key is there and cannot be used: a new one would lock all clients out
 */
export async function openServerKey(dataPath: string): Promise<ServerKey> {
  const keyPath = join(dataPath, "server.key");
  let privateKeyPem = await readIfThere(keyPath);
  if (privateKeyPem === undefined) {
    privateKeyPem = await generateKey();
    await writeFileDurably(keyPath, new TextEncoder().encode(privateKeyPem), { mode: KEY_MODE });
  }
  const publicKey = derivePublicKey(privateKeyPem, keyPath);
  const certificatePath = join(dataPath, "server.crt");
  const kept = await readKeptCertificate(certificatePath, pinOf(publicKey));
  if (kept !== undefined) return { ...kept, privateKeyPem };
  const made = readCertificate(await makeCertificate(privateKeyPem, publicKey));
  const bytes = new TextEncoder().encode(made.pem);
  await writeFileDurably(certificatePath, bytes, { mode: CERTIFICATE_MODE });
  return { ...made, privateKeyPem };
}

/** The pin of a data folder whose server has been started before. */
export async function readPin(dataPath: string): Promise<Uint8Array | undefined> {
  const keyPath = join(dataPath, "server.key");
  const privateKeyPem = await readIfThere(keyPath);
  if (privateKeyPem === undefined) return undefined;
  return pinOf(derivePublicKey(privateKeyPem, keyPath));
}

async function generateKey(): Promise<string> {
  const { privateKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey));
  return encodePem(pkcs8, "PRIVATE KEY");
}

function derivePublicKey(privateKeyPem: string, path: string): Uint8Array<ArrayBuffer> {
  try {
    const key = createPublicKey(createPrivateKey(privateKeyPem));
    if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new Error("not of P-256");
    return new Uint8Array(key.export({ type: "spki", format: "der" }));
  } catch (cause) {
    throw new HoldfastError(`Cannot use ${path}: not the server's private key`, {
      hint: "restore it from a copy; with a new key no client would trust this server",
      cause,
    });
  }
}

async function readKeptCertificate(
  path: string,
  pin: Uint8Array,
): Promise<ServerCertificate | undefined> {
  const pem = await readIfThere(path);
  if (pem === undefined) return undefined;
  try {
    const kept = readCertificate(pem);
    return equalBytes(kept.pin, pin) ? kept : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined; // it is made again
    throw error;
  }
}

async function makeCertificate(privateKeyPem: string, publicKey: Uint8Array): Promise<string> {
  const pkcs8 = createPrivateKey(privateKeyPem).export({ type: "pkcs8", format: "der" });
  const keys = {
    privateKey: await crypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), ALGORITHM, true, [
      "sign",
    ]),
    publicKey: await crypto.subtle.importKey("spki", new Uint8Array(publicKey), ALGORITHM, true, [
      "verify",
    ]),
  };
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    notBefore: VALID_FROM,
    notAfter: VALID_TO,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        [{ type: "dns", value: pinnedName(pinOf(publicKey)) }],
        true,
      ),
    ],
  });
  return certificate.toString("pem");
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
