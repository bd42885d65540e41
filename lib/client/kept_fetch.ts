/**
 * Gets the entries of the last snapshot from the server when the profile does not have them: what this device may read, it
 * need not read from its own disk again. A device that may only write reads everything again.
 */
import { equalBytes } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { Role } from "../identity.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { printError } from "../program.ts";
import { decodeIndex } from "../vault/index_record.ts";
import type { Reference } from "../vault/session.ts";
import type { Load } from "../vault/tree_reader.ts";
import type { KeptWriter } from "./kept_file.ts";
import type { KeptStore } from "./kept_store.ts";
import { RecordLoader } from "./record_loader.ts";
import { openSnapshot } from "./snapshot_choice.ts";
import type { VaultAccess } from "./vault_access.ts";

/** @returns path of a file with the entries, not yet in its place; undefined if they cannot be had */
export async function fetchKept(
  vault: VaultAccess,
  { store, setLabel }: { store: KeptStore; setLabel: Uint8Array },
): Promise<string | undefined> {
  const { profile, session } = vault;
  const row = findLast(vault, setLabel);
  if (row === undefined || profile.keyring.role === Role.WRITER) return undefined;
  if (!profile.folder.isWritable) return undefined;
  const loader = await RecordLoader.create(profile, session);
  const { writer, path } = store.begin();
  try {
    const { root } = row;
    const { top, level, timeMs: startMs, totals } = await openSnapshot(row, { profile, loader });
    const indexes: Reference[] = [];
    await fetchNode(top, { level, load: loader.load, writer, indexes });
    writer.finish({ ...totals, root, startMs, indexes, sparse: [] });
    return path;
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    printError("note: the last snapshot is damaged at the server; files are read again");
    return undefined;
  } finally {
    writer.close();
  }
}

/** The newest snapshot of these paths by this device that is still in force. */
function findLast({ profile }: VaultAccess, setLabel: Uint8Array): SnapshotRow | undefined {
  const { facts } = profile.journal;
  const own = profile.journal.device(profile.device.id)?.index;
  let last: SnapshotRow | undefined;
  for (const row of facts.snapshots) {
    const isOurs = row.device === own && equalBytes(row.setLabel, setLabel);
    if (isOurs && row.holdUntilMs === 0) last = row;
  }
  return last;
}

/** Segments in order; index records before those that they name. */
async function fetchNode(
  reference: Reference,
  { level, load, writer, indexes }: {
    level: number;
    load: Load;
    writer: KeptWriter;
    indexes: Reference[];
  },
): Promise<void> {
  const content = await load(reference);
  if (level === 0) return writer.addSegment({ reference, content });
  indexes.push(reference);
  for (const { reference } of decodeIndex(content, level)) {
    await fetchNode(reference, { level: level - 1, load, writer, indexes });
  }
}
