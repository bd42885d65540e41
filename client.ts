/** The client: makes backups and sends files. `client --help` tells the rest. */
import { findTransferInfo } from "./lib/client/transfer_info.ts";
import { type LazyCommand, runProgram } from "./lib/program.ts";

const INTRO = `holdfast client: makes backups on a holdfast server, and restores them

Usage: client [command] [flags]
       client <command> --help        shows the command's flags`;

const OUTRO =
  `Without arguments, and with a transfer.info beside it, it sends the file that is named there.`;

/** Loaded when they are run: so help, and each command, starts fast. */
const COMMANDS: Record<string, LazyCommand> = {
  init: {
    summary: "make this machine a device of a vault",
    load: async () => (await import("./lib/client/init.ts")).INIT_COMMAND,
  },
  recover: {
    summary: "get a vault back with its recovery code",
    load: async () => (await import("./lib/client/recover.ts")).RECOVER_COMMAND,
  },
  invite: {
    summary: "let one more device into the vault",
    load: async () => (await import("./lib/client/invite.ts")).INVITE_COMMAND,
  },
  devices: {
    summary: "show the devices of the vault, or revoke one",
    load: async () => (await import("./lib/client/devices.ts")).DEVICES_COMMAND,
  },
  keys: {
    summary: "change the keys of the vault",
    load: async () => (await import("./lib/client/keys.ts")).KEYS_COMMAND,
  },
  recovery: {
    summary: "make another recovery code for the vault",
    load: async () => (await import("./lib/client/recovery.ts")).RECOVERY_COMMAND,
  },
  journal: {
    summary: "show the history of the vault",
    load: async () => (await import("./lib/client/journal.ts")).JOURNAL_COMMAND,
  },
  passphrase: {
    summary: "put the profile under a passphrase",
    load: async () => (await import("./lib/client/passphrase.ts")).PASSPHRASE_COMMAND,
  },
  backup: {
    summary: "make a snapshot of files and folders",
    load: async () => (await import("./lib/client/backup.ts")).BACKUP_COMMAND,
  },
  restore: {
    summary: "write a snapshot, or part of it, into a folder",
    load: async () => (await import("./lib/client/restore.ts")).RESTORE_COMMAND,
  },
  snapshots: {
    summary: "show which snapshots there are",
    load: async () => (await import("./lib/client/snapshots.ts")).SNAPSHOTS_COMMAND,
  },
  ls: {
    summary: "show what is in a folder of a snapshot",
    load: async () => (await import("./lib/client/ls.ts")).LS_COMMAND,
  },
  find: {
    summary: "look for names in snapshots",
    load: async () => (await import("./lib/client/find.ts")).FIND_COMMAND,
  },
  diff: {
    summary: "show what is different between two snapshots",
    load: async () => (await import("./lib/client/diff.ts")).DIFF_COMMAND,
  },
  status: {
    summary: "show whether the backups are as they should be",
    load: async () => (await import("./lib/client/status.ts")).STATUS_COMMAND,
  },
  check: {
    summary: "check that snapshots can be restored",
    load: async () => (await import("./lib/client/check.ts")).CHECK_COMMAND,
  },
  drill: {
    summary: "restore a few files, drawn by chance, and compare them",
    load: async () => (await import("./lib/client/drill.ts")).DRILL_COMMAND,
  },
  forget: {
    summary: "give snapshots up; they are held for a while",
    load: async () => (await import("./lib/client/forget.ts")).FORGET_COMMAND,
  },
  unforget: {
    summary: "bring forgotten snapshots back",
    load: async () => (await import("./lib/client/unforget.ts")).UNFORGET_COMMAND,
  },
  policy: {
    summary: "show or set which snapshots are kept",
    load: async () => (await import("./lib/client/policy.ts")).POLICY_COMMAND,
  },
  send: {
    summary: "send files with the classic protocol",
    load: async () => (await import("./lib/client/send.ts")).SEND_COMMAND,
  },
};

const exitCode = await runProgram({
  name: "client",
  intro: INTRO,
  outro: OUTRO,
  commands: COMMANDS,
  defaultCommand: (args) =>
    args.length === 0 && findTransferInfo() !== undefined ? "send" : undefined,
}, Deno.args);
Deno.exit(exitCode);
