/** All classes of faults, in the order in which they are run. */
import type { FaultClass } from "./fault_class.ts";
import { KILL } from "./kill.ts";

export const CLASSES: readonly FaultClass[] = [KILL];
