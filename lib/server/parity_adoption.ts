/** Makes the index agree with the files of parity, at each start (docs/store.md, "Parity"). */
import type { Log } from "../log.ts";
import { BitSet } from "./bit_set.ts";
import type { PackParity } from "./pack_parity.ts";

/**
 * Notes which packs of a vault have parity, and removes what belongs to none. To be called when the packs are known.
 *
 * @param last the largest number of a pack
 */
export async function adoptParity(
  vault: { number: number; id: Uint8Array },
  { parity, last, log }: { parity: PackParity; last: number; log: Log },
): Promise<void> {
  const { files, rows } = parity;
  const there = new BitSet(last);
  for await (const { name, size } of files.list(vault.id)) {
    const row = await rows.findByName(vault.number, name);
    if (row === undefined) {
      await parity.remove(vault, { name });
      log.info("parity without a pack removed", { vault: vault.id.toHex(), pack: name });
      continue;
    }
    there.add(row.number);
    if (row.parity !== size) await rows.setParity(row, size);
  }
  for (const row of await rows.findLost(vault.number, (number) => there.has(number))) {
    await rows.setParity(row, 0);
  }
}
