/** What `client backup` does once its walk has begun: it takes several times longer to load than to begin that. */
import { ExitCode } from "../errors.ts";
import { formatByteSize } from "../flags.ts";
import { escapeText } from "../log.ts";
import { print, printError } from "../program.ts";
import type { BackupPlan } from "./backup_attempt.ts";
import type { BackupCommandOptions } from "./backup_options.ts";
import { BackupProgress, formatSeconds } from "./backup_progress.ts";
import { type BackupResult, runBackup } from "./backup_run.ts";
import type { BackupTally } from "./backup_tally.ts";
import { runDryBackup } from "./dry_backup.ts";
import { Interruption } from "./interrupt.ts";
import { readProfile } from "./profile.ts";
import { hostName } from "./terminal.ts";
import type { TreeScanner } from "./tree_scanner.ts";
import { openVault } from "./vault_access.ts";

/** @returns the exit code */
export async function makeBackup(
  options: BackupCommandOptions,
  scanner: TreeScanner,
): Promise<number> {
  const { folder, isDry, json } = options;
  if (isDry) {
    const profile = await readProfile(folder);
    const tally = await runDryBackup(profile, {
      plan: makePlan(options, { scanner, host: hostName(profile.deviceName) }),
      json,
    });
    return finish(tally);
  }
  using interruption = new Interruption(
    "interrupted: what the server has is kept for the next time",
  );
  const { interrupted } = interruption;
  const vault = await Promise.race([openVault(folder), interrupted]);
  try {
    if (!folder.isWritable) {
      printError(`note: no permission to write in ${folder.path}: the next backup is slower`);
    }
    using progress = new BackupProgress();
    const result = await runBackup(vault, {
      plan: makePlan(options, { scanner, host: hostName(vault.profile.deviceName) }),
      interrupted,
      workers: options.workers,
      onPass: (tally, expected) => progress.follow(tally, expected),
    });
    progress[Symbol.dispose]();
    await vault.session.closeSession();
    report(result, { options, seconds: performance.now() / 1000 }); // since the process began
    return finish(result.tally);
  } finally {
    vault.session.close();
  }
}

function makePlan(
  { roots, tags }: BackupCommandOptions,
  { scanner, host }: { scanner: TreeScanner; host: string },
): BackupPlan {
  return {
    ...{ roots, tags, host },
    scan: (tally) => scanner.scan(tally),
  };
}

function finish(tally: BackupTally): number {
  const { skipped, skippedCount } = tally;
  // A name may hold anything, and must not move the cursor of a terminal.
  for (const { path, reason } of skipped) printError(`skipped ${escapeText(path)}: ${reason}`);
  if (skippedCount > skipped.length) printError(`and ${skippedCount - skipped.length} more`);
  return skippedCount > 0 ? ExitCode.INCOMPLETE : ExitCode.DONE;
}

function report(
  { root, tally, sent, passes }: BackupResult,
  { options, seconds }: { options: BackupCommandOptions; seconds: number },
): void {
  const { newFiles, changedFiles, unchangedFiles, folders, scannedBytes, bytesRead } = tally;
  if (options.json) {
    print(JSON.stringify({
      event: "backup",
      snapshot: root.toHex(),
      files: { new: newFiles, changed: changedFiles, unchanged: unchangedFiles },
      ...{ folders, bytes: scannedBytes, bytesRead, bytesSent: sent.bytes },
      ...{ recordsSent: sent.records, passes, skippedCount: tally.skippedCount },
      skipped: tally.skipped,
      durationMs: Math.round(seconds * 1000),
    }));
    return;
  }
  const files = newFiles + changedFiles + unchangedFiles;
  printError(
    `snapshot ${root.toHex().slice(0, 16)}: ${files} files, ${formatByteSize(scannedBytes)}; ` +
      `${newFiles} new, ${changedFiles} changed; ${formatByteSize(bytesRead)} read, ` +
      `${formatByteSize(sent.bytes)} sent, ${formatSeconds(seconds)}`,
  );
}
