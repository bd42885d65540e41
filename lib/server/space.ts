/**
 * Bytes that files of protocol version 3 take or have reserved, for each client and in all. A reservation is made for
 * the whole upload before its first byte is read, so that a bound is never found in the middle.
 */
import type { Database } from "../db.ts";
import { RefusedError } from "../errors.ts";
import { CLASSIC } from "../limits.ts";
import type { AccessLimits } from "./access.ts";
import type { Reserve } from "./reserve.ts";

/** What a reservation is for. */
export interface Reservation {
  clientId: Uint8Array;
  fileName: string;
  bytes: number;
}

export class Space {
  readonly #db: Database;
  readonly #limits: AccessLimits;
  readonly #reserve: Reserve | undefined;
  readonly #reservedByClient = new Map<string, number>();
  #reservedBytes = 0;
  #verifiedBytes: number;

  private constructor(
    db: Database,
    { limits, reserve, verifiedBytes }: {
      limits: AccessLimits;
      reserve: Reserve | undefined;
      verifiedBytes: number;
    },
  ) {
    this.#db = db;
    this.#limits = limits;
    this.#reserve = reserve;
    this.#verifiedBytes = verifiedBytes;
  }

  static async open(db: Database, limits: AccessLimits, reserve?: Reserve): Promise<Space> {
    const verifiedBytes = await db.sumBytes(CLASSIC.chargedBytesMin);
    return new Space(db, { limits, reserve, verifiedBytes });
  }

  /**
   * Sets room aside. For the client's bound, a file that will be replaced does not count twice; for the
   * server's it does, because both are on disk until the confirmation.
   *
   * @throws {RefusedError} if there is no room
   */
  async reserve({ clientId, fileName, bytes }: Reservation): Promise<void> {
    if (this.#reserve?.isFull) {
      throw new RefusedError("Cannot accept file: the disk is full up to the server's reserve");
    }
    const replacedBytes = await this.#verifiedSize(clientId, fileName);
    const clientBytes = await this.#clientBytes(clientId) - replacedBytes;
    // Nothing is awaited from here on: two uploads cannot both take the last room.
    const client = clientId.toHex();
    const reserved = this.#reservedByClient.get(client) ?? 0;
    const charged = chargedBytes(bytes);
    if (clientBytes + reserved + charged > this.#limits.clientBytesMax) {
      throw new RefusedError("Cannot accept file: the client's space is used up");
    }
    if (this.#verifiedBytes + this.#reservedBytes + charged > this.#limits.totalBytesMax) {
      throw new RefusedError("Cannot accept file: the server's space is used up");
    }
    this.#reservedByClient.set(client, reserved + charged);
    this.#reservedBytes += charged;
  }

  /** Gives room back. */
  release({ clientId, bytes }: Reservation): void {
    const client = clientId.toHex();
    const charged = chargedBytes(bytes);
    const left = (this.#reservedByClient.get(client) ?? 0) - charged;
    if (left > 0) this.#reservedByClient.set(client, left);
    else this.#reservedByClient.delete(client);
    this.#reservedBytes -= charged;
  }

  /** Counts a file of `size` bytes as stored, in place of another if one is named. */
  store({ size, replacedSize }: { size: number; replacedSize: number | undefined }): void {
    const replaced = replacedSize === undefined ? 0 : chargedBytes(replacedSize);
    this.#verifiedBytes += chargedBytes(size) - replaced;
  }

  async #clientBytes(clientId: Uint8Array): Promise<number> {
    return await this.#db.sumClientBytes(clientId, CLASSIC.chargedBytesMin);
  }

  async #verifiedSize(clientId: Uint8Array, fileName: string): Promise<number> {
    const row = await this.#db.findFile(clientId, fileName);
    return row?.verified ? chargedBytes(row.size) : 0;
  }
}

/** What a file counts against the bounds: an empty one takes room too. */
function chargedBytes(size: number): number {
  return Math.max(size, CLASSIC.chargedBytesMin);
}
