/** All classes of faults, in the order in which they are run. */
import type { FaultClass } from "./fault_class.ts";
import { KILL } from "./kill.ts";
import { POWER_LOSS } from "./power_loss.ts";

export const CLASSES: readonly FaultClass[] = [KILL, POWER_LOSS];
