/** Classes whose faults each begin with the same vault on a {@link Stage}: with three snapshots, and a running server. */
import type { FaultClass } from "./fault_class.ts";
import type { Random } from "./random.ts";
import { backUp } from "./site.ts";
import { Stage } from "./stage.ts";

export type StagedFault = (stage: Stage, random: Random) => Promise<void>;

export interface StagedClass extends Omit<FaultClass, "begin"> {
  faults: Record<string, StagedFault>;
  /** Done once, when the vault has its snapshots. */
  prepare?: (stage: Stage, random: Random) => Promise<void>;
  /** Folders of the stage that it makes. */
  prepared?: string[];
}

export function stagedClass({ faults, prepare, prepared = [], ...rest }: StagedClass): FaultClass {
  return {
    ...rest,
    begin: async (folder, random) => {
      const stage = await Stage.create(folder, { random });
      for (let i = 0; i < 3; i++) await backUp(stage);
      await prepare?.(stage, random);
      await stage.stopServer();
      const state = stage.save("data", "profile", ...prepared);
      const run = (fault: StagedFault) => async (random: Random) => {
        await stage.load(state);
        await stage.startServer();
        try {
          await fault(stage, random);
        } finally {
          await stage.stopServer();
        }
      };
      return {
        faults: Object.fromEntries(
          Object.entries(faults).map(([name, fault]) => [name, run(fault)]),
        ),
        [Symbol.asyncDispose]: () => stage.stopServer(),
      };
    },
  };
}
