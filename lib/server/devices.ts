/** `server devices`: what the operator can bring back (docs/format.md, "Bringing back"). The server must be stopped. */
import { Database } from "../db.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags, readFlag } from "../flags.ts";
import { Role, SIGNER_ID_BYTES } from "../identity.ts";
import { encodeRestore, Restored } from "../journal_body.ts";
import type { DeviceFacts, JournalFacts } from "../journal_facts.ts";
import { encodeStatement, EventKind, JOURNAL_START, SIGNATURE_BYTES } from "../journal.ts";
import { Log } from "../log.ts";
import { type Command, print, printError } from "../program.ts";
import { SYSTEM_CLOCK } from "../time.ts";
import { DataFolder } from "./data_folder.ts";
import { type Vault, VaultStore } from "./vault_store.ts";

const LOG_FLUSH_MS = 1000;
const PREFIX_DIGITS_MIN = 4;

const HELP = `server devices: shows who is in a vault, and brings back what an owner has taken away

Usage: server devices [flags]                               shows the vaults
       server devices --vault ID [flags]                    shows what is in one
       server devices restore --vault ID [flags] WHAT       brings something back

WHAT is the id of a revoked device, the id of a former recovery code, or "slot" and the number
of the event of keys that others have replaced. All of these are held for the time of the vault's
hold: so that somebody who has stolen an owner's device cannot shut the others out for good.

Ask the owners by another way before you do it: whoever asks may be the thief. Nothing new can
come into a vault like this, no key is given to anybody, and every device of the vault is told. A
device that is brought back is trusted by the others only as far as they say so.

  --vault ID       the vault, or the beginning of its id
  --data DIR       data folder (./holdfast-data)

The server must be stopped.`;

const FLAGS = { data: { type: "string" }, vault: { type: "string" } } as const;

const ROLE_NAMES = { [Role.WRITER]: "writer", [Role.READER]: "reader", [Role.OWNER]: "owner" };

export const DEVICES_COMMAND: Command = {
  summary: "show who is in a vault, and bring back what an owner took away",
  help: HELP,
  run: (args) => devices(args),
};

async function devices(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  const dataPath = readFlag(values, { flag: "data", parse: String, otherwise: "holdfast-data" });
  const prefix = readFlag<string | undefined>(values, {
    flag: "vault",
    parse: String,
    otherwise: undefined,
  });
  const [action, ...what] = positionals;
  if (action !== undefined && action !== "restore") {
    throw new UsageError(`Unexpected argument "${action}"`);
  }
  if (action === "restore" && (prefix === undefined || what.length === 0)) {
    throw new UsageError("Cannot bring back: --vault and what it is are needed", {
      hint: "server devices --vault ID shows what there is",
    });
  }
  using folder = DataFolder.open(dataPath);
  return await withStore(folder, async (store) => {
    if (prefix === undefined) return await showVaults(store);
    const vault = (await store.enter(await chooseVault(store, prefix)))!;
    try {
      if (action === undefined) showVault(vault);
      else await bringBack(vault, what);
    } finally {
      store.leave(vault);
    }
  });
}

async function withStore(
  folder: DataFolder,
  work: (store: VaultStore) => Promise<void>,
): Promise<number> {
  const log = new Log({ format: "text", sink: Deno.stderr, now: SYSTEM_CLOCK.wall });
  const db = Database.open(folder.databasePath);
  try {
    const store = await VaultStore.open({
      ...{ dataPath: folder.path, db, log, clock: SYSTEM_CLOCK },
    });
    try {
      await work(store);
    } finally {
      await store.close();
    }
    return ExitCode.DONE;
  } finally {
    db.close();
    await log.flush(LOG_FLUSH_MS);
  }
}

async function showVaults(store: VaultStore): Promise<void> {
  for await (const id of store.db.listVaults()) print(id.toHex());
}

async function chooseVault(store: VaultStore, prefix: string): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  for await (const id of store.db.listVaults()) {
    if (id.toHex().startsWith(prefix.toLowerCase())) found.push(id);
  }
  if (found.length === 1) return found[0];
  const state = found.length === 0 ? "there is none" : "there is more than one";
  throw new UsageError(`Cannot choose vault ${JSON.stringify(prefix)}: ${state}`, {
    hint: '"server devices" shows their ids',
  });
}

/** Names are sealed: the operator sees ids only, and owners can tell which is which. */
function showVault({ journal }: Vault): void {
  const { devices, recovery, formerRecovery, formerSlots } = journal.state.facts;
  for (const device of devices.values()) {
    print(`device  ${device.id.toHex()}  ${ROLE_NAMES[device.role]}  ${stateOf(device)}`);
  }
  print(`code    ${recovery.id.toHex()}  in use${returnedText(recovery)}`);
  for (const { id, heldUntilMs } of formerRecovery) {
    if (isHeld(heldUntilMs)) print(`code    ${id.toHex()}  replaced, ${heldText(heldUntilMs)}`);
  }
  for (const { recipient, event, epoch, heldUntilMs } of formerSlots) {
    if (!isHeld(heldUntilMs)) continue;
    const words = `keys up to epoch ${epoch}, replaced, ${heldText(heldUntilMs)}`;
    print(`slot    ${event.number}  for ${recipient}  ${words}`);
  }
}

function stateOf({ revoked, heldUntilMs, isRestored }: DeviceFacts): string {
  if (!revoked) return `in the vault${returnedText({ isRestored })}`;
  return isHeld(heldUntilMs) ? `revoked, ${heldText(heldUntilMs)}` : "revoked";
}

function returnedText({ isRestored }: { isRestored: boolean }): string {
  return isRestored ? ", brought back" : "";
}

function isHeld(heldUntilMs: number): boolean {
  return heldUntilMs > SYSTEM_CLOCK.wall();
}

function heldText(heldUntilMs: number): string {
  return `held until ${new Date(heldUntilMs).toISOString()}`;
}

async function bringBack({ journal }: Vault, what: string[]): Promise<void> {
  const body = encodeRestore(findHeld(journal.state.facts, what));
  // The server signs nothing. Whether it may is the journal's rule, which every client checks again.
  const signer = new Uint8Array(SIGNER_ID_BYTES);
  const signature = new Uint8Array(SIGNATURE_BYTES);
  const fields = { kind: EventKind.RESTORE, signer, seen: JOURNAL_START, body, signature };
  const { number } = await journal.append(encodeStatement(fields));
  printError(`it is back, by event ${number}; every device of the vault is told`);
}

function findHeld(
  { devices, formerRecovery, formerSlots }: Readonly<JournalFacts>,
  [what, number, ...rest]: string[],
): Parameters<typeof encodeRestore>[0] {
  if (rest.length > 0 || (number !== undefined && what !== "slot")) {
    throw new UsageError("Cannot bring back: one thing at a time");
  }
  if (what === "slot") {
    const slot = formerSlots.find(({ event }) => String(event.number) === number);
    if (slot === undefined) throw notHeld(`slot ${number}`);
    const { event, recipient } = slot;
    return { what: Restored.SLOT, id: Uint8Array.fromHex(recipient), number: event.number };
  }
  const isMeant = ({ id }: { id: Uint8Array }) =>
    what.length >= PREFIX_DIGITS_MIN && id.toHex().startsWith(what.toLowerCase());
  const held = [
    ...[...devices.values()].filter(({ revoked }) => revoked).filter(isMeant)
      .map(({ id }) => ({ what: Restored.DEVICE, id, number: 0 })),
    ...formerRecovery.filter(isMeant).map(({ id }) => ({ what: Restored.RECOVERY, id, number: 0 })),
  ];
  if (held.length !== 1) throw notHeld(what);
  return held[0];
}

function notHeld(what: string): UsageError {
  return new UsageError(`Cannot bring back ${what}: it does not stand for one thing that is held`, {
    hint: "server devices --vault ID shows what there is",
  });
}
