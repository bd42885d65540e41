/** The server: keeps backups for many clients. `server --help` tells the rest. */
import { runProgram } from "./lib/program.ts";
import { SERVE_COMMAND } from "./lib/server/serve.ts";

const INTRO = `holdfast server: keeps backups for many clients

Usage: server [command] [flags]
       server <command> --help`;

const OUTRO =
  `Without a command it serves: data in ./holdfast-data, classic clients on the port in port.info.`;

const exitCode = await runProgram({
  name: "server",
  intro: INTRO,
  outro: OUTRO,
  commands: { serve: SERVE_COMMAND },
  defaultCommand: () => "serve",
}, Deno.args);
Deno.exit(exitCode);
