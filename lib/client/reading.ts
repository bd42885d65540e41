/** What the commands that read snapshots begin and end with. */
import type { Load } from "../vault/tree_reader.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { readAhead } from "./read_ahead.ts";
import { RecordLoader } from "./record_loader.ts";
import { chooseSnapshot, type ChosenSnapshot, type SnapshotFilter } from "./snapshot_choice.ts";
import { openVault, type VaultAccess } from "./vault_access.ts";

export interface Reading extends VaultAccess {
  loader: RecordLoader;
  /** A snapshot by name. */
  choose: (name: string, filter: SnapshotFilter) => Promise<ChosenSnapshot>;
  /** For one walk over a snapshot, in order. */
  load: () => Load;
}

/** Opens the vault as a reader, and closes the connection when the work is done or has failed. */
export async function withReading<T>(
  folder: ProfileFolder,
  work: (reading: Reading) => Promise<T>,
): Promise<T> {
  const vault = await openVault(folder);
  try {
    const { profile, session } = vault;
    const loader = await RecordLoader.create(profile, session);
    return await work({
      ...vault,
      loader,
      choose: (name, filter) => chooseSnapshot(name, { profile, loader, filter }),
      load: () => readAhead(loader.load),
    });
  } finally {
    vault.session.close();
  }
}

/** A path as entries have it: absolute, without an end in `/`. */
export function entryPath(path: string): string {
  const clean = path.replace(/\/+/g, "/").replace(/(?<=.)\/$/, "");
  return clean.startsWith("/") ? clean : `/${clean}`;
}
