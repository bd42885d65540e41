/**
 * A server whose clock is some days ahead, so that holds pass while a test runs.
 * Arguments: data folder, port, milliseconds ahead.
 */
import { Database } from "../../lib/db.ts";
import { SERVER_DEFAULTS } from "../../lib/limits.ts";
import { Log } from "../../lib/log.ts";
import { DataFolder } from "../../lib/server/data_folder.ts";
import { startVaultService } from "../../lib/server/vault_service.ts";

const [dataPath, port, aheadMs] = Deno.args;
using folder = DataFolder.open(dataPath);
const clock = {
  wall: () => Date.now() + Number(aheadMs),
  elapsed: () => performance.now(),
};
const db = Database.open(folder.databasePath);
const log = new Log({ format: "json", sink: Deno.stderr, now: clock.wall });
const { idleMs, messageMs, stallMs, stopMs, connectionsMax, connectionsPerAddressMax } =
  SERVER_DEFAULTS;
const service = await startVaultService({
  address: { hostname: "127.0.0.1", port: Number(port) },
  access: {
    ...{ connectionsMax, connectionsPerAddressMax, registration: false, clientsMax: 0 },
    ...{ registrationsPerMinuteMax: 0, clientBytesMax: 0, totalBytesMax: 0 },
  },
  session: { idleMs, messageMs, stallMs },
  stopMs,
}, { dataPath: folder.path, db, log, clock });
console.log(service.address.port);
await new Promise<void>((resolve) => Deno.addSignalListener("SIGTERM", resolve));
await service.stop();
db.close();
Deno.exit(0);
