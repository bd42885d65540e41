/** Events of a journal in words. */
import { equalBytes } from "../bytes.ts";
import { formatByteSize } from "../flags.ts";
import { deviceId, recoveryId, Role } from "../identity.ts";
import {
  decodeCommit,
  decodeDevice,
  decodeDrill,
  decodeFound,
  decodeKeys,
  decodePolicy,
  decodeRecovery,
  decodeRestore,
  decodeRevoke,
  decodeRoots,
  decodeSlot,
  type DrillBody,
  Restored,
} from "../journal_body.ts";
import { EventKind, type JournalEvent } from "../journal.ts";
import type { JournalState } from "../journal_state.ts";
import type { Keyring } from "../vault/keyring.ts";
import { DEVICE_DIGITS, deviceName, ROLE_NAMES } from "./device_choice.ts";
import { showPath } from "./entry_text.ts";

const SNAPSHOT_DIGITS = 12;
const DAY_MS = 24 * 3600 * 1000;

/** The journal behind the event, and what names are read with. */
export interface EventContext {
  journal: JournalState;
  keyring: Keyring;
}

export interface DescribedEvent {
  number: number;
  /** ISO 8601, by the server's clock. */
  time: string;
  kind: string;
  /** Who signed it: a device's name, or in words. */
  by: string;
  /** One line for people. */
  text: string;
  /** Ids, in full. */
  [field: string]: unknown;
}

const KIND_NAMES = Object.fromEntries(
  Object.entries(EventKind).map(([name, kind]) => [kind, name.toLowerCase()]),
);

export async function describeEvent(
  event: JournalEvent,
  context: EventContext,
): Promise<DescribedEvent> {
  const by = await signerText(event, context);
  const { words, fields } = await TEXTS[event.kind](event.body, context);
  return {
    number: event.number,
    time: new Date(event.timeMs).toISOString(),
    kind: KIND_NAMES[event.kind],
    by,
    text: `${by} ${words}`,
    ...fields,
  };
}

interface Words {
  /** What follows the name of who did it. */
  words: string;
  fields: Record<string, unknown>;
}

type Describe = (body: Uint8Array, context: EventContext) => Words | Promise<Words>;

const TEXTS: Record<EventKind, Describe> = {
  [EventKind.FOUND]: (body) => {
    const device = deviceId(decodeFound(body).owner).toHex();
    return { words: "founded the vault, as its first owner", fields: { device } };
  },
  [EventKind.DEVICE]: async (body, context) => {
    const { role, keys } = decodeDevice(body);
    const id = deviceId(keys);
    return {
      words: `let in ${await nameOf(id, context)} as ${articled(ROLE_NAMES[role])}`,
      fields: { device: id.toHex(), role: ROLE_NAMES[role] },
    };
  },
  [EventKind.REVOKE]: async (body, context) => {
    const id = decodeRevoke(body);
    return { words: `revoked ${await nameOf(id, context)}`, fields: { device: id.toHex() } };
  },
  [EventKind.KEYS]: (body) => {
    const { epoch } = decodeKeys(body);
    return { words: `changed the vault's keys: epoch ${epoch} begins`, fields: { epoch } };
  },
  [EventKind.SLOT]: async (body, context) => {
    const { recipient, epoch } = decodeSlot(body);
    return {
      words: `left the keys up to epoch ${epoch} for ${await nameOf(recipient, context)}`,
      fields: { recipient: recipient.toHex(), epoch },
    };
  },
  [EventKind.COMMIT]: (body) => {
    const snapshot = decodeCommit(body).root.toHex();
    return { words: `made snapshot ${shortRoot(snapshot)}`, fields: { snapshot } };
  },
  [EventKind.FORGET]: (body) => rootsText("forgot", body),
  [EventKind.UNFORGET]: (body) => rootsText("brought back", body),
  [EventKind.DROP]: (body) => rootsText("dropped", body),
  [EventKind.POLICY]: (body) => {
    const { holdMs, ...rules } = decodePolicy(body);
    const kept = Object.entries(rules).filter(([, count]) => count > 0);
    const keeps = kept.length === 0
      ? "everything"
      : kept.map(([rule, count]) => `${rule} ${count}`).join(", ");
    const holdDays = Math.round(holdMs / DAY_MS * 100) / 100;
    return {
      words: `set the policy: keep ${keeps}; hold ${holdDays} days`,
      fields: { holdMs, ...rules },
    };
  },
  [EventKind.RECOVERY]: (body) => {
    const code = recoveryId(decodeRecovery(body).keys).toHex();
    return { words: "replaced the recovery code", fields: { code } };
  },
  [EventKind.RESTORE]: async (body, context) => {
    const { what, id, number } = decodeRestore(body);
    const name = await nameOf(id, context);
    if (what === Restored.DEVICE) {
      return { words: `brought back device ${name}`, fields: { device: id.toHex() } };
    }
    if (what === Restored.RECOVERY) {
      return { words: "brought back a former recovery code", fields: { code: id.toHex() } };
    }
    return {
      words: `brought back the keys of event ${number} for ${name}`,
      fields: { recipient: id.toHex(), slot: number },
    };
  },
  [EventKind.DRILL]: (body) => {
    const { root, ...counts } = decodeDrill(body);
    const snapshot = root.toHex();
    const words = `drilled snapshot ${shortRoot(snapshot)}: ${drillText(counts)}`;
    return { words, fields: { snapshot, ...counts } };
  },
};

/** What came of a drill, for people. */
export function drillText(drill: Omit<DrillBody, "root">): string {
  const { files, bytes, compared, differing, damaged } = drill;
  const faults = [
    damaged > 0 ? `${damaged} damaged` : "",
    differing > 0 ? `${differing} unlike the disk` : "",
  ].filter((fault) => fault !== "");
  const result = faults.length === 0 ? "all good" : faults.join(", ");
  const noun = files === 1 ? "file" : "files";
  const sums = `${files} ${noun}, ${formatByteSize(bytes)}, ${compared} compared with the disk`;
  return `${sums}: ${result}`;
}

async function signerText(
  { kind, signer, body }: JournalEvent,
  context: EventContext,
): Promise<string> {
  if (kind === EventKind.DROP) return "the server";
  if (kind === EventKind.RESTORE) return "the server's operator";
  if (context.journal.device(signer) !== undefined) return await nameOf(signer, context);
  const grant = kind === EventKind.DEVICE ? decodeDevice(body).grant : undefined;
  if (grant !== undefined) return `an invite of ${await nameOf(grant.owner, context)}`;
  return "the recovery code";
}

/** A device's name in quotes, or "the recovery code". */
async function nameOf(id: Uint8Array, { journal, keyring }: EventContext): Promise<string> {
  const device = journal.device(id);
  if (device !== undefined) return `"${showPath(await deviceName({ keyring }, device))}"`;
  if (equalBytes(id, journal.facts.recovery.id)) return "the recovery code";
  return `a recovery code (${id.toHex().slice(0, DEVICE_DIGITS)})`;
}

function rootsText(verb: string, body: Uint8Array): Words {
  const snapshots = decodeRoots(body).map((root) => root.toHex());
  const shown = snapshots.slice(0, 3).map(shortRoot).join(", ");
  const more = snapshots.length > 3 ? ` and ${snapshots.length - 3} more` : "";
  const noun = snapshots.length === 1 ? "snapshot" : "snapshots";
  return { words: `${verb} ${noun} ${shown}${more}`, fields: { snapshots } };
}

function shortRoot(root: string): string {
  return root.slice(0, SNAPSHOT_DIGITS);
}

function articled(role: string): string {
  return role === ROLE_NAMES[Role.OWNER] ? `an ${role}` : `a ${role}`;
}
