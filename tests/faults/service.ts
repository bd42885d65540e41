/** A server for vaults on loopback with a clock of one's own. */
import { Database } from "../../lib/db.ts";
import { SERVER_DEFAULTS } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { DataFolder } from "../../lib/server/data_folder.ts";
import type { Service } from "../../lib/server/listener.ts";
import { startVaultService } from "../../lib/server/vault_service.ts";
import type { Clock } from "../../lib/time.ts";

/** A clock that is some time ahead, so that holds pass while a test runs. */
export class ShiftedClock implements Clock {
  aheadMs = 0;
  #passedMs = 0;
  wall = () => Date.now() + this.aheadMs;
  elapsed = () => performance.now() + this.#passedMs;

  /** Lets time pass, by both clocks: it was not set. */
  pass(ms: number): void {
    this.aheadMs += ms;
    this.#passedMs += ms;
  }
}

export interface TestService extends Service {
  db: Database;
}

/** Starts it; `stop` also closes what it uses. */
export async function startService(
  { dataPath, port, clock, log, parityPercent = 0 }: {
    dataPath: string;
    port: number;
    clock: Clock;
    log: Log;
    parityPercent?: number;
  },
): Promise<TestService> {
  const folder = DataFolder.open(dataPath);
  let db: Database | undefined;
  const close = () => {
    db?.close();
    folder[Symbol.dispose]();
  };
  try {
    db = Database.open(folder.databasePath);
    const { idleMs, messageMs, stallMs, stopMs, connectionsMax, connectionsPerAddressMax } =
      SERVER_DEFAULTS;
    const service = await startVaultService({
      address: { hostname: "127.0.0.1", port },
      access: {
        ...{ connectionsMax, connectionsPerAddressMax, registration: false, clientsMax: 0 },
        ...{ registrationsPerMinuteMax: 0, clientBytesMax: 0, totalBytesMax: 0 },
      },
      session: { idleMs, messageMs, stallMs },
      stopMs,
      parityPercent,
    }, { dataPath: folder.path, db, log, clock });
    return {
      address: service.address,
      db,
      stop: async () => {
        await service.stop();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}
