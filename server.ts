/** The server: keeps backups for many clients. `server --help` tells the rest. */
import { runProgram } from "./lib/program.ts";
import { BACKUP_DB_COMMAND } from "./lib/server/backup_db.ts";
import { DEVICES_COMMAND } from "./lib/server/devices.ts";
import { EXPORT_COMMAND } from "./lib/server/export_command.ts";
import { GC_COMMAND } from "./lib/server/gc.ts";
import { HOLD_COMMAND } from "./lib/server/hold.ts";
import { INVITE_COMMAND } from "./lib/server/invite.ts";
import { PARITY_COMMAND } from "./lib/server/parity_command.ts";
import { QUOTA_COMMAND } from "./lib/server/quota_command.ts";
import { REBUILD_COMMAND } from "./lib/server/rebuild.ts";
import { SCRUB_COMMAND } from "./lib/server/scrub_command.ts";
import { SERVE_COMMAND } from "./lib/server/serve.ts";
import { SNAPSHOTS_COMMAND } from "./lib/server/snapshots_command.ts";
import { USAGE_COMMAND } from "./lib/server/usage_command.ts";
import { VAULTS_COMMAND } from "./lib/server/vaults.ts";

const INTRO = `holdfast server: keeps backups for many clients

Usage: server [command] [flags]
       server <command> --help        shows the command's flags`;

const OUTRO =
  `Without a command it serves: data in ./holdfast-data, classic clients on the port in port.info,
clients with a vault on port 1358.`;

const exitCode = await runProgram({
  name: "server",
  intro: INTRO,
  outro: OUTRO,
  commands: {
    serve: SERVE_COMMAND,
    invite: INVITE_COMMAND,
    devices: DEVICES_COMMAND,
    rebuild: REBUILD_COMMAND,
    gc: GC_COMMAND,
    scrub: SCRUB_COMMAND,
    parity: PARITY_COMMAND,
    vaults: VAULTS_COMMAND,
    snapshots: SNAPSHOTS_COMMAND,
    usage: USAGE_COMMAND,
    quota: QUOTA_COMMAND,
    hold: HOLD_COMMAND,
    export: EXPORT_COMMAND,
    "backup-db": BACKUP_DB_COMMAND,
  },
  defaultCommand: () => "serve",
}, Deno.args);
Deno.exit(exitCode);
