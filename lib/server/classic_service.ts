/** The part of the server that speaks protocol version 3. */
import type { Database } from "../db.ts";
import type { HostPort } from "../flags.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { RegistrationCount } from "./access.ts";
import { FileStore } from "./file_store.ts";
import { Listener, type Service } from "./listener.ts";
import type { ServeOptions } from "./serve_options.ts";
import type { Metrics } from "./metrics.ts";
import type { Reserve } from "./reserve.ts";
import { ClassicSession } from "./session_v3.ts";
import { Space } from "./space.ts";

const SWEEP_MS = 1000;

export async function startClassicService(
  options: ServeOptions & { address: HostPort },
  { dataPath, db, log, clock, reserve, metrics }: {
    dataPath: string;
    db: Database;
    log: Log;
    clock: Clock;
    reserve?: Reserve;
    metrics?: Metrics;
  },
): Promise<Service> {
  const space = await Space.open(db, options.access, reserve);
  const { confirmMs } = options;
  const files = await FileStore.open({ dataPath, db, space, log, clock, confirmMs });
  const context = {
    db,
    files,
    registrations: new RegistrationCount(options.access, clock.elapsed),
    limits: options.session,
    log,
    clock,
    isStopping: () => listener.isStopping(),
  };
  const listener: Listener = new Listener({
    ...options.address,
    limits: options.access,
    log,
    clock,
    ...(metrics === undefined ? {} : { metrics: { metrics, protocol: "classic" } }),
    openSession: (channel, peer) => new ClassicSession(channel, peer, context),
  });
  const sweeper = setInterval(() => files.sweep(), SWEEP_MS);
  return {
    address: listener.address,
    stop: async () => {
      await listener.stop(options.stopMs);
      clearInterval(sweeper);
      await files.close();
    },
  };
}
