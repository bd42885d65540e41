/**
 * An invite as one line of text that people pass on (docs/protocol_v4.md, "Invite lines"): where the server is, how it
 * is recognised, and a secret.
 */
import { decodeBase32, encodeBase32 } from "./base32.ts";
import { UsageError } from "./errors.ts";
import { formatHostPort, type HostPort, parseHostPort } from "./flags.ts";

const SCHEME = "holdfast://";
const PIN_BYTES = 32;
const SECRET_BYTES = 32;
/** Addresses of one invite: more are more than anybody tries. */
const ADDRESSES_MAX = 16;

export interface Invite {
  /** `new`: to found a vault, by the operator. `join`: to join one, by an owner. */
  kind: "new" | "join";
  /** Tried one after another. */
  addresses: HostPort[];
  pin: Uint8Array;
  /** `new`: the token. `join`: what token and keys are derived from. 32 bytes. */
  secret: Uint8Array;
}

export function encodeInviteLine({ kind, addresses, pin, secret }: Invite): string {
  const places = addresses.map(formatHostPort).join(",");
  return `${SCHEME}${places}/${kind}/${encodeBase32(pin)}/${encodeBase32(secret)}`;
}

/** @throws {UsageError} if it is not such a line */
export function decodeInviteLine(line: string): Invite {
  const text = line.trim();
  const [places, kind, pin, secret, ...more] = text.slice(SCHEME.length).split("/");
  try {
    if (!text.startsWith(SCHEME) || more.length > 0 || (kind !== "new" && kind !== "join")) {
      throw new SyntaxError("not an invite");
    }
    const addresses = places.split(",").map((place) => parseHostPort(place));
    if (addresses.length > ADDRESSES_MAX) throw new SyntaxError("too many addresses");
    return {
      kind,
      addresses,
      pin: decodeBase32(pin ?? "", PIN_BYTES),
      secret: decodeBase32(secret ?? "", SECRET_BYTES),
    };
  } catch (cause) {
    throw new UsageError("Cannot read invite: the line is not whole", {
      hint: `it looks like ${SCHEME}192.0.2.7:1358/new/...; copy it again, with its end`,
      cause,
    });
  }
}
