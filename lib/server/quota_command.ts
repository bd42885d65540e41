/** `server quota`: what a vault may use at most. */
import { VaultDatabase } from "../db_vault.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { formatByteSize, parseByteSize, parseCount, parseFlags, readFlag } from "../flags.ts";
import { UPKEEP } from "../limits.ts";
import { type Command, print } from "../program.ts";
import {
  DATA_FLAG,
  DATA_HELP,
  dataPathOf,
  findVaultId,
  JSON_FLAG,
  withDatabase,
} from "./operator.ts";
import { type Quota, readQuota, writeQuota } from "./quota.ts";

const HELP = `server quota: shows or sets what a vault may use at most

Usage: server quota [flags] VAULT

VAULT is the beginning of an id that "server vaults" shows. Each bound may be "none".

${DATA_HELP}
  --bytes SIZE     of all that is stored, such as 100GiB
  --snapshots N    in force and held
  --devices N      not revoked
  --rate SIZE      that one device may store in a second, on all its connections, such as 10MiB; at
                   least 1MiB. It is slowed down, never refused
  --json           one JSON object on standard output

It counts within seconds, also beside a running server. Past a bound a client is told which one it
is; nothing that is there is lost, and devices go on to restore.`;

const FLAGS = {
  ...DATA_FLAG,
  ...JSON_FLAG,
  bytes: { type: "string" },
  snapshots: { type: "string" },
  devices: { type: "string" },
  rate: { type: "string" },
} as const;

export const QUOTA_COMMAND: Command = {
  summary: "show or set what a vault may use at most",
  help: HELP,
  run: quota,
};

async function quota(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length !== 1) {
    throw new UsageError("Cannot use quota: one vault is needed", {
      hint: `"server vaults" shows them`,
    });
  }
  const read = (flag: keyof Quota, parse: (text: string) => number) =>
    readFlag<number | null | undefined>(values, {
      flag,
      parse: (text) => text === "none" ? null : parse(text),
      otherwise: undefined,
    });
  const changes = {
    bytes: read("bytes", parseByteSize),
    snapshots: read("snapshots", (text) => parseCount(text)),
    devices: read("devices", (text) => parseCount(text)),
    rate: read("rate", parseRate),
  };
  await withDatabase(dataPathOf(values), async (db) => {
    const vault = (await findVaultId(db, positionals[0]))!;
    const vaults = new VaultDatabase(db.sql);
    const bounds = applyChanges(await readQuota(vaults, vault), changes);
    await writeQuota(vaults, vault, bounds);
    show(vault, bounds, values.json === true);
  });
  return ExitCode.DONE;
}

function parseRate(text: string): number {
  const bytes = parseByteSize(text);
  if (bytes >= UPKEEP.rateBytesMin) return bytes;
  throw new UsageError("the slowest rate is 1MiB a second");
}

/** Null takes a bound away, undefined leaves it as it is. */
function applyChanges(
  bounds: Quota,
  changes: Record<keyof Quota, number | null | undefined>,
): Quota {
  const changed = { ...bounds };
  for (const key of ["bytes", "snapshots", "devices", "rate"] as const) {
    const value = changes[key];
    if (value === null) delete changed[key];
    else if (value !== undefined) changed[key] = value;
  }
  return changed;
}

function show(vault: string, bounds: Quota, json: boolean): void {
  if (json) return print(JSON.stringify({ event: "quota", vault, ...bounds }));
  const bytes = bounds.bytes === undefined ? "none" : formatByteSize(bounds.bytes);
  print(`bytes: ${bytes}`);
  print(`snapshots: ${bounds.snapshots ?? "none"}`);
  print(`devices: ${bounds.devices ?? "none"}`);
  print(`rate: ${bounds.rate === undefined ? "none" : `${formatByteSize(bounds.rate)} a second`}`);
}
