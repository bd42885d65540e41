/** `client backup --dry-run`: which files a backup would read. Needs neither server nor permission to write. */
import { escapeText } from "../log.ts";
import { print } from "../program.ts";
import type { BackupPlan } from "./backup_attempt.ts";
import { keptStoreOf } from "./backup_run.ts";
import { BackupTally } from "./backup_tally.ts";
import { compareWithKept } from "./backup_pass.ts";
import { KeptCursor } from "./kept_cursor.ts";
import type { Profile } from "./profile.ts";

/** Prints each file, and says in the end how many. */
export async function runDryBackup(
  profile: Profile,
  { plan, json }: { plan: BackupPlan; json: boolean },
): Promise<BackupTally> {
  const tally = new BackupTally();
  using kept = keptStoreOf(profile, plan.roots).open();
  const cursor = kept && await KeptCursor.open(kept, {
    has: (ids) => Promise.resolve(ids.map(() => true)), // as the server would say if all is well
    onDamage: () => {},
  });
  for await (const batch of plan.scan(tally).batches) {
    for (const { entry } of batch) {
      if (entry.type !== "file") continue;
      await cursor?.cover(entry.path);
      const { state } = compareWithKept(cursor, entry);
      tally.count(entry, state);
      if (state === "unchanged") continue;
      const { path, size } = entry;
      if (json) print(JSON.stringify({ event: "would read", path, size, state }));
      else print(`${state.padEnd(7)}  ${escapeText(path)}`);
    }
  }
  return tally;
}
