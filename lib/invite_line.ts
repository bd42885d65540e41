/**
 * Invites as one line of text (docs/protocol_v4.md, "Invite lines"): what a new device needs to find its server, to
 * recognise it, and to be let in.
 */
import { decodeBase32, encodeBase32 } from "./base32.ts";
import { UsageError } from "./errors.ts";
import { formatHostPort, type HostPort, parseHostPort } from "./flags.ts";

const PREFIX = "holdfast";
const PIN_BYTES = 32;
const SECRET_BYTES = 32;
const ADDRESSES_MAX = 16;

/** `new` starts a vault, and comes from the operator; `join` adds a device, and comes from an owner. */
export type InviteKind = "new" | "join";

export interface InviteLine {
  kind: InviteKind;
  /** SHA-256 of the server's public key. 32 bytes. */
  pin: Uint8Array;
  /** The token of a new vault, or the secret from which the token of an invite follows. 32 bytes. */
  secret: Uint8Array;
  addresses: HostPort[];
}

/** `holdfast:KIND:PIN:SECRET:ADDRESS,ADDRESS`, with pin and secret in base32. */
export function formatInviteLine({ kind, pin, secret, addresses }: InviteLine): string {
  const places = addresses.map(formatHostPort).join(",");
  return [PREFIX, kind, encodeBase32(pin), encodeBase32(secret), places].join(":");
}

/** @throws {UsageError} if it is none */
export function parseInviteLine(text: string): InviteLine {
  const match = /^holdfast:(new|join):([a-z2-7]+):([a-z2-7]+):(\S+)$/i.exec(text.trim());
  const addresses = match?.[4].split(",") ?? [];
  if (match === null || addresses.length > ADDRESSES_MAX) throw notAnInvite();
  try {
    return {
      kind: match[1].toLowerCase() as InviteKind,
      pin: decodeBase32(match[2], PIN_BYTES),
      secret: decodeBase32(match[3], SECRET_BYTES),
      addresses: addresses.map((address) => parseHostPort(address)),
    };
  } catch (cause) {
    throw notAnInvite(cause);
  }
}

function notAnInvite(cause?: unknown): UsageError {
  return new UsageError("Cannot read invite: it is not an invite line", {
    hint: `it begins with ${PREFIX}: and must be copied whole`,
    cause,
  });
}
