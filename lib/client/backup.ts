/** `client backup`: makes a snapshot of some paths. */
import type { Command } from "../program.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import type { FolderIdentity } from "./scan.ts";
import { TreeScanner } from "./tree_scanner.ts";

const HELP = `client backup: makes a snapshot of files and folders

Usage: client backup [flags] PATH...

Only what is new or has changed since the last snapshot of the same paths is read, and only
what the vault does not have yet is sent. If it is interrupted, the next one goes on from
there.

  --exclude GLOB       leave out what matches; with a / the whole path is compared, otherwise
                       the name. Can be given more than once, as can the next two
  --exclude-file FILE  leave out what the patterns in FILE match, in the syntax of .gitignore;
                       they are relative to each PATH
  --tag TEXT           tag the snapshot
  --one-file-system    stay on the file systems of the paths
  --dry-run            only show which files would be read; nothing is sent
  --workers N          threads that read and encrypt, 0 to 4; with 0 the main thread does it all;
                       without the flag as many as find a core free
${PROFILE_HELP}
  --json               one JSON object on standard output

The profile itself is left out. It needs --allow-net and --allow-read; with permission to
write in the profile it also keeps what the next backup is to be compared with.`;

export const BACKUP_COMMAND: Command = {
  summary: "make a snapshot of files and folders",
  help: HELP,
  run: backup,
};

/**
 * The thread that walks starts while what reads the command line is loaded, and the walk begins while the rest is: each
 * of them takes longer than all that stands here.
 */
async function backup(args: string[]): Promise<number> {
  using scanner = new TreeScanner();
  const { parseBackupOptions } = await import("./backup_options.ts");
  const options = await parseBackupOptions(args);
  const { roots, exclude, isOneFileSystem, folder } = options;
  scanner.begin({ roots, exclude, isOneFileSystem, ownFolder: identify(folder.path) });
  const { makeBackup } = await import("./backup_command.ts");
  return await makeBackup(options, scanner);
}

function identify(path: string): FolderIdentity | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return ino === null ? undefined : { device: dev, inode: ino };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
