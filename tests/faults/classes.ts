/** All classes of faults, in the order in which they are run. */
import type { FaultClass } from "./fault_class.ts";
import { DISK_ERRORS } from "./disk_errors.ts";
import { KILL } from "./kill.ts";
import { NETWORK } from "./network.ts";
import { POWER_LOSS } from "./power_loss.ts";
import { ROT } from "./rot.ts";

export const CLASSES: readonly FaultClass[] = [KILL, POWER_LOSS, DISK_ERRORS, NETWORK, ROT];
