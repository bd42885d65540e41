/** Small file systems, for tests of full disks. */
import assert from "node:assert/strict";
import { withFolder } from "./folder.ts";

export async function run(program: string, ...args: string[]): Promise<boolean> {
  try {
    const command = new Deno.Command(program, { args, stdout: "null", stderr: "null" });
    return (await command.output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether this user may mount file systems: tests that need a small disk are ignored, and counted so, otherwise. */
export async function canMount(): Promise<boolean> {
  const folder = await Deno.makeTempDir();
  const mounted = await run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder);
  if (mounted) await run("umount", folder);
  await Deno.remove(folder);
  return mounted;
}

/** A folder on a file system of its own. */
export async function withDisk(
  size: string,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const disk = `${folder}/disk`;
    Deno.mkdirSync(disk);
    assert.ok(await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", disk));
    try {
      await work(disk);
    } finally {
      assert.ok(await run("umount", disk), "the disk is still in use");
    }
  });
}
