/**
 * Who may take how much: connections, registrations and bytes (docs/threat-model.md, "Bounds"). Counts only; the
 * callers turn a no into an answer and a log line.
 */
import { COUNTED_ADDRESSES_MAX } from "../limits.ts";

const MINUTE_MS = 60_000;

export interface AccessLimits {
  connectionsMax: number;
  connectionsPerAddressMax: number;
  registration: boolean;
  registrationsPerMinuteMax: number;
  clientsMax: number;
  clientBytesMax: number;
  totalBytesMax: number;
}

/** Connections that are open, in all and from each address. */
export class ConnectionCount {
  readonly #limits: AccessLimits;
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  constructor(limits: AccessLimits) {
    this.#limits = limits;
  }

  /** Counts one more, or says which bound it would break. */
  add(address: string): "ok" | "connections" | "connections of this address" {
    const count = this.#byAddress.get(address) ?? 0;
    if (this.#total >= this.#limits.connectionsMax) return "connections";
    if (count >= this.#limits.connectionsPerAddressMax) return "connections of this address";
    this.#byAddress.set(address, count + 1);
    this.#total++;
    return "ok";
  }

  remove(address: string): void {
    const count = this.#byAddress.get(address) ?? 0;
    if (count > 1) this.#byAddress.set(address, count - 1);
    else this.#byAddress.delete(address);
    this.#total--;
  }
}

/** Registrations of the running minute, from each address. */
export class RegistrationCount {
  readonly #limits: AccessLimits;
  readonly #now: () => number;
  readonly #byAddress = new Map<string, number>();
  #minute = -1;

  /** `now` gives milliseconds that only grow. */
  constructor(limits: AccessLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Counts one more besides the clients that there are, or says which bound it would break. */
  add(
    address: string,
    clientCount: number,
  ): "ok" | "registration is off" | "too many clients" | "registrations of this address" {
    if (!this.#limits.registration) return "registration is off";
    if (clientCount >= this.#limits.clientsMax) return "too many clients";
    const minute = Math.floor(this.#now() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#byAddress.clear();
    }
    const count = this.#byAddress.get(address) ?? 0;
    const crowded = count === 0 && this.#byAddress.size >= COUNTED_ADDRESSES_MAX;
    if (count >= this.#limits.registrationsPerMinuteMax || crowded) {
      return "registrations of this address";
    }
    this.#byAddress.set(address, count + 1);
    return "ok";
  }
}

/**
 * What is counted as one address: an IPv4 address, also in its IPv6 form, or the first 64 bits of an IPv6 address,
 * because one machine there has all addresses that begin like this.
 */
export function addressKey(address: string): string {
  const mapped = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1];
  const [head, tail] = address.split("%")[0].split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + after < 8) groups.push("0");
  }
  return groups.slice(0, 4).join(":") + "::/64";
}
