/**
 * `client send`, and the classic run without arguments: registers or logs in with protocol version 3 and sends files.
 */
import { isAbsolute, join, resolve } from "node:path";
import { Channel } from "../channel.ts";
import { describeError, ExitCode, HoldfastError, UnreachableError, UsageError } from "../errors.ts";
import {
  formatByteSize,
  formatHostPort,
  type HostPort,
  parseDuration,
  parseFlags,
  parseHostPort,
  readFlag,
} from "../flags.ts";
import { CLIENT_DEFAULTS, SETTINGS_FILE_BYTES_MAX } from "../limits.ts";
import { type Command, print, printError, reportError } from "../program.ts";
import { within } from "../time.ts";
import { IdentityFolder } from "./identity.ts";
import { ChecksumError, ClassicClientSession, type Login } from "./session_v3.ts";
import { openSourceFile, SourceError, type SourceFile } from "./source_file.ts";
import {
  checkClientName,
  findTransferInfo,
  parseTransferInfo,
  type TransferInfo,
} from "./transfer_info.ts";
import { Progress } from "./ui.ts";

const HELP = `client send: sends files with the classic protocol (version 3)

Usage: client send [flags] FILE...
       client                      the same as settings in transfer.info say

  --server HOST:PORT   server (line 1 of transfer.info)
  --name NAME          name to register with (line 2 of transfer.info)
  --dir DIR            folder of me.info, priv.key and transfer.info (.)
  --timeout TIME       longest wait for an answer (60s); a file adds its share
  --json               one JSON object for each file on standard output

The first time it registers NAME, makes an RSA key pair, and keeps both in me.info and priv.key.
From then on it logs in with these, which needs no permission to write:
  deno run --allow-net --allow-read client.ts send ...

The server reads what you send, and cannot give it back: see docs/threat-model.md.`;

const FLAGS = {
  server: { type: "string" },
  name: { type: "string" },
  dir: { type: "string" },
  timeout: { type: "string" },
  json: { type: "boolean" },
} as const;

interface SendOptions {
  server: HostPort;
  /** To register with; an identity that is there has its own. */
  name: string | undefined;
  dir: string;
  filePaths: string[];
  answerMs: number;
  json: boolean;
}

export const SEND_COMMAND: Command = {
  summary: "send files with the classic protocol",
  help: HELP,
  run: (args) => send(parseOptions(args)),
};

async function send(options: SendOptions): Promise<number> {
  const { sources, failed } = openSources(options.filePaths);
  if (sources.length === 0) return ExitCode.FAILED;
  const session = new ClassicClientSession({
    connect: () => connect(options.server),
    onServerError: () => printError("server responded with an error"),
    answerMs: options.answerMs,
  });
  await session.open();
  const stopListening = closeOnInterrupt(session);
  try {
    const login = await logIn(session, options);
    const refused = await sendFiles(sources, { session, login, options });
    if (refused > 0) return ExitCode.FAILED;
    return failed > 0 ? ExitCode.INCOMPLETE : ExitCode.DONE;
  } finally {
    stopListening();
    session.close();
  }
}

/** Looks at all files before anything is sent. What cannot be sent is told at once. */
function openSources(filePaths: string[]): { sources: SourceFile[]; failed: number } {
  const sources: SourceFile[] = [];
  let failed = 0;
  for (const path of filePaths) {
    try {
      sources.push(openSourceFile(path));
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      failed++;
      reportError(error);
    }
  }
  const names = new Map<string, string>();
  for (const { name, path } of sources) {
    const other = names.get(name);
    if (other !== undefined) {
      throw new UsageError(`Cannot send both ${other} and ${path}: they have the same name`, {
        hint: "the server keeps one file of each name; send them under different client names",
      });
    }
    names.set(name, path);
  }
  return { sources, failed };
}

async function connect(server: HostPort): Promise<Channel> {
  const address = formatHostPort(server);
  const hint = "is the server running, and is the address right?";
  try {
    const conn = await within(Deno.connect(server), CLIENT_DEFAULTS.connectMs, undefined);
    if (conn !== undefined) return new Channel(conn);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new UnreachableError(`Cannot reach server ${address}`, { cause, hint });
  }
  throw new UnreachableError(`Cannot reach server ${address}: no answer`, { hint });
}

function closeOnInterrupt(session: ClassicClientSession): () => void {
  const handler = () => {
    session.close();
    printError("interrupted: what was confirmed is stored, the rest is not");
    Deno.exit(ExitCode.INTERRUPTED);
  };
  Deno.addSignalListener("SIGINT", handler);
  return () => Deno.removeSignalListener("SIGINT", handler);
}

/** Logs in with the identity that is kept, or registers a new one. */
async function logIn(session: ClassicClientSession, options: SendOptions): Promise<Login> {
  const folder = new IdentityFolder(options.dir);
  const identity = await folder.read();
  if (identity) {
    if (options.name !== undefined && options.name !== identity.name) {
      printError(`note: me.info is of client "${identity.name}", which is used`);
    }
    const login = await session.reconnect(identity.name, identity);
    if (login) return login;
    printError(`note: the server does not know client "${identity.name}"; registering it as new`);
  }
  return await register(session, { folder, name: identity?.name ?? options.name });
}

async function register(
  session: ClassicClientSession,
  { folder, name }: { folder: IdentityFolder; name: string | undefined },
): Promise<Login> {
  if (name === undefined) {
    throw new UsageError("Cannot register: no name is given", { hint: "--name NAME" });
  }
  folder.checkWritable();
  const { publicKey, privateKey } = await folder.prepareKeyPair();
  const begun = await folder.readBegun();
  if (begun?.name === name) {
    const login = await session.resume(name, { ...begun, publicKey });
    if (login) return await keepIdentity(folder, login);
  }
  const clientId = await session.register(name);
  await folder.writeBegun({ name, clientId, privateKey });
  const login = await session.exchangeKey(name, { clientId, publicKey, privateKey });
  return await keepIdentity(folder, login);
}

async function keepIdentity(folder: IdentityFolder, login: Login): Promise<Login> {
  await folder.acceptBegun();
  return login;
}

/** Returns how many files could not be sent after all, or did not arrive right. */
async function sendFiles(
  sources: SourceFile[],
  { session, login, options }: {
    session: ClassicClientSession;
    login: Login;
    options: SendOptions;
  },
): Promise<number> {
  let refused = 0;
  for (const source of sources) {
    const progress = new Progress(source.name, source.size);
    source.onProgress = (doneBytes) => progress.set(doneBytes);
    try {
      const checksum = await session.sendFile(source, login).finally(() => progress.clear());
      reportSent(source, { checksum, options });
    } catch (error) {
      if (!(error instanceof ChecksumError || error instanceof SourceError)) throw error;
      refused++;
      reportError(error);
    }
  }
  return refused;
}

function reportSent(
  source: SourceFile,
  { checksum, options }: { checksum: number; options: SendOptions },
): void {
  const { path, name, size } = source;
  if (options.json) print(JSON.stringify({ event: "sent", path, name, bytes: size, checksum }));
  else print(`sent ${name}: ${formatByteSize(size)}, checksum ${checksum} confirmed`);
}

function parseOptions(args: string[]): SendOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  const read = <T>(flag: keyof typeof FLAGS, parse: (text: string) => T) =>
    readFlag(values, { flag, parse, otherwise: undefined });
  const dir = read("dir", String) ?? findTransferInfo() ?? ".";
  const transfer = readTransferInfo(dir);
  const server = read("server", parseHostPort) ?? transfer?.server;
  if (!server) {
    throw new UsageError("No server is given", {
      hint: "--server HOST:PORT, or line 1 of transfer.info",
    });
  }
  const name = read("name", String) ?? transfer?.name;
  if (name !== undefined) checkClientName(name);
  const filePaths = positionals.length > 0
    ? positionals
    : transfer
    ? [resolveFile(transfer.filePath, dir)]
    : [];
  if (filePaths.length === 0) {
    throw new UsageError("No file is given", { hint: "client send FILE..." });
  }
  checkFolder(dir);
  const answerMs = read("timeout", parseDuration) ?? CLIENT_DEFAULTS.answerMs;
  return { server, name, dir: resolve(dir), filePaths, answerMs, json: values.json === true };
}

function readTransferInfo(dir: string): TransferInfo | undefined {
  const path = join(dir, "transfer.info");
  let text: string;
  try {
    if (Deno.statSync(path).size > SETTINGS_FILE_BYTES_MAX) {
      throw new UsageError(`Cannot read ${path}: it is too large`);
    }
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof HoldfastError || error instanceof Deno.errors.NotCapable) throw error;
    throw new UsageError(`Cannot read ${path}: ${describeError(error)}`);
  }
  return parseTransferInfo(text);
}

function checkFolder(path: string): void {
  try {
    if (Deno.statSync(path).isDirectory) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  throw new UsageError(`Cannot use folder ${path}: there is none`, {
    hint: "--dir names an existing folder, where me.info and priv.key are kept",
  });
}

/** A relative path in `transfer.info` is of the folder that it lies in, or else of the current one. */
function resolveFile(filePath: string, dir: string): string {
  if (isAbsolute(filePath)) return filePath;
  const beside = join(dir, filePath);
  try {
    Deno.statSync(beside);
    return beside;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return filePath;
  }
}
