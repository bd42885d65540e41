/**
 * A server whose clock is some days ahead, as a process that can be killed. It makes parity in the background.
 * Arguments: data folder, port, milliseconds ahead.
 */
import { Log } from "../../lib/log.ts";
import { ShiftedClock, startService } from "./service.ts";

const [dataPath, port, aheadMs] = Deno.args;
const clock = new ShiftedClock();
clock.aheadMs = Number(aheadMs);
const log = new Log({ format: "json", sink: Deno.stderr, now: clock.wall });
const options = { dataPath, port: Number(port), clock, log, parityPercent: 5 };
const service = await startService(options);
console.log(service.address.port);
await new Promise<void>((resolve) => Deno.addSignalListener("SIGTERM", resolve));
await service.stop();
Deno.exit(0);
