/** The client: makes backups and sends files. `client --help` tells the rest. */
import { findTransferInfo, SEND_COMMAND } from "./lib/client/send.ts";
import { runProgram } from "./lib/program.ts";

const INTRO = `holdfast client: sends files to a holdfast server

Usage: client [command] [flags]
       client <command> --help        shows the command's flags`;

const OUTRO =
  `Without arguments, and with a transfer.info beside it, it sends the file that is named there.`;

const exitCode = await runProgram({
  name: "client",
  intro: INTRO,
  outro: OUTRO,
  commands: { send: SEND_COMMAND },
  defaultCommand: (args) =>
    args.length === 0 && findTransferInfo() !== undefined ? "send" : undefined,
}, Deno.args);
Deno.exit(exitCode);
