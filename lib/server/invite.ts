/** `server invite`: a line with which somebody can begin a vault. Works beside a running server. */
import { Database } from "../db.ts";
import { VaultDatabase } from "../db_vault.ts";
import { ExitCode, HoldfastError, UsageError } from "../errors.ts";
import { type HostPort, parseDuration, parseFlags, parseHostPort, readFlag } from "../flags.ts";
import { encodeInviteLine } from "../invite_line.ts";
import { SERVER_DEFAULTS, STORE } from "../limits.ts";
import { type Command, print, printError } from "../program.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { TOKEN_BYTES } from "../protocol_v4_login.ts";
import { openServerKey, readPin } from "./certificate.ts";
import { databasePath, DataFolder } from "./data_folder.ts";
import { tokenHash } from "./enrolment.ts";
import { LISTEN_SETTING } from "./vault_service.ts";

const HOUR_MS = 3_600_000;
const EXPIRES_MS = 24 * HOUR_MS;
const NAME_CHARS_MAX = 200;
const ANY_ADDRESS = ["0.0.0.0", "::"];

const HELP = `server invite: prints a line with which somebody can begin a vault on this server

Usage: server invite [flags]

  --data DIR           data folder (./holdfast-data)
  --name TEXT          a note for yourself: whom it is for
  --expires TIME       how long it is good (24h)
  --address HOST:PORT  where clients reach this server; may be given several times
                       (where it listens)

The line is a secret: whoever has it can begin one vault. It works once. The server need not be stopped.`;

const FLAGS = {
  data: { type: "string" },
  name: { type: "string" },
  expires: { type: "string" },
  address: { type: "string", multiple: true },
} as const;

export const INVITE_COMMAND: Command = {
  summary: "print a line with which somebody can begin a vault",
  help: HELP,
  run: invite,
};

async function invite(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const dataPath = readFlag(values, { flag: "data", parse: String, otherwise: "holdfast-data" });
  const name = readFlag(values, { flag: "name", parse: parseName, otherwise: "" });
  const expires = { flag: "expires", parse: parseDuration, otherwise: EXPIRES_MS };
  const expiresMs = SYSTEM_CLOCK.wall() + readFlag(values, expires);
  const given = (values.address ?? []) as string[];
  const pin = await findPin(dataPath);
  const db = Database.open(databasePath(dataPath));
  try {
    const vaults = new VaultDatabase(db.sql);
    const addresses = given.length > 0
      ? given.map((text) => parseHostPort(text))
      : findAddresses(await vaults.findSetting(LISTEN_SETTING));
    const token = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES));
    const now = SYSTEM_CLOCK.wall();
    await vaults.removeInvites({ nowMs: now, usedMs: now - STORE.rememberedMs });
    await vaults.addInvite({ token: tokenHash(token), name, expiresMs });
    print(encodeInviteLine({ kind: "new", addresses, pin, secret: token }));
    return ExitCode.DONE;
  } finally {
    db.close();
  }
}

/** The server's pin. Before its first start its key is made here. */
async function findPin(dataPath: string): Promise<Uint8Array> {
  using folder = DataFolder.tryOpen(dataPath);
  if (folder) return (await openServerKey(folder.path)).pin;
  const pin = await readPin(dataPath);
  if (pin) return pin;
  throw new HoldfastError("Cannot invite: the running server has no key yet", {
    hint: "it serves no vaults (--listen off), or is just starting; try again",
  });
}

/** Where clients might reach the server that listens there. */
function findAddresses(listen: string | undefined): HostPort[] {
  const { hostname, port } = listen === undefined
    ? { hostname: "0.0.0.0", port: SERVER_DEFAULTS.vaultPort }
    : parseHostPort(listen);
  if (!ANY_ADDRESS.includes(hostname)) return [{ hostname, port }];
  const own = findOwnHostnames();
  if (own.length > 0) return own.map((hostname) => ({ hostname, port }));
  printError("warning: the line has the address of this machine only");
  printError("hint: name the address that clients use with --address HOST:PORT");
  return [{ hostname: "127.0.0.1", port }];
}

/** This machine's addresses, if we may ask for them. */
function findOwnHostnames(): string[] {
  const permission = { name: "sys", kind: "networkInterfaces" } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return [];
  return Deno.networkInterfaces()
    .filter(({ address, family }) =>
      family === "IPv4" ? !address.startsWith("127.") : !/^(::1$|fe80:)/i.test(address)
    )
    .map(({ address }) => address).slice(0, 8);
}

function parseName(text: string): string {
  if (text.length > NAME_CHARS_MAX) throw new UsageError(`over ${NAME_CHARS_MAX} characters`);
  return text;
}
