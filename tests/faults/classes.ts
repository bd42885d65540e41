/** All classes of faults, in the order in which they are run. */
import type { FaultClass } from "./fault_class.ts";
import { DISK_ERRORS } from "./disk_errors.ts";
import { EVIL_CLIENT } from "./evil_client.ts";
import { EVIL_SERVER } from "./evil_server.ts";
import { KILL } from "./kill.ts";
import { NETWORK } from "./network.ts";
import { POWER_LOSS } from "./power_loss.ts";
import { RACES } from "./races.ts";
import { ROT } from "./rot.ts";
import { TWO_YEARS } from "./two_years.ts";

export const CLASSES: readonly FaultClass[] = [
  KILL,
  POWER_LOSS,
  DISK_ERRORS,
  NETWORK,
  RACES,
  ROT,
  EVIL_CLIENT,
  EVIL_SERVER,
  TWO_YEARS,
];
