/** `client status`: whether the backups are as they should be (docs/operations.md, "Are the backups good?"). */
import { ExitCode, UsageError } from "../errors.ts";
import { parseDuration, parseFlags, readFlag } from "../flags.ts";
import { Role } from "../identity.ts";
import type { DrillFacts, JournalFacts } from "../journal_facts.ts";
import { VAULT_CLIENT } from "../limits.ts";
import { type Command, print, printError } from "../program.ts";
import type { Usage } from "../protocol_v4_usage.ts";
import { NotUnderstoodError } from "./answer_error.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf, readText } from "./command_flags.ts";
import { findDevice, ROLE_NAMES } from "./device_choice.ts";
import { showPath, showSpan, showTime } from "./entry_text.ts";
import { drillText } from "./event_text.ts";
import { policyFields, policyLines } from "./policy.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import type { VaultClientSession } from "./session_v4.ts";
import { SHORT_ID_DIGITS } from "./snapshot_choice.ts";
import {
  type DeviceStatus,
  findDeviceStatus,
  newestGoodMs,
  type SetStatus,
} from "./vault_status.ts";
import { usageLines } from "./usage_text.ts";
import { openVault } from "./vault_access.ts";

const HELP = `client status: shows whether the backups are as they should be

Usage: client status [flags]

For each device that is not revoked, and each set of paths that it backs up: time and age of the
newest good snapshot, and how many there are. Good means that the snapshot and all that it needs
is there and not known to be damaged. Then the newest drill of each device, the vault, its policy,
space and damage.

Which devices, snapshots, drills and policy there are is proven: devices have signed it. By the
server's word alone are: what is good, what is damaged, space and quota. "client drill" and
"client check --read-data" look for themselves. Ages are by the later of the server's and this machine's clock, so a server cannot
make backups look younger than they are.

  --max-age TIME   such as 36h or 2d: a device whose newest good snapshot is older is named, and
                   one that has none: a writer from that time after it joined on, a reader or an
                   owner if it ever made a backup
  --each-set       with --max-age: every set of paths of a device must be so young
  --device NAME    only this device
${PROFILE_HELP}
  --json           JSON on standard output: an object for each device, the vault, the server, and
                   a summary

Exit codes: 0 all is well; 3 a backup is older than --max-age; 5 something is damaged, or the last
drill of a device found so, whatever else is. Any device of the vault may ask; one that may only write does not see paths.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  "max-age": { type: "string" },
  "each-set": { type: "boolean" },
  device: { type: "string" },
} as const;

interface StatusOptions {
  folder: ProfileFolder;
  maxAgeMs: number;
  /** Whether each set of paths is judged by itself. */
  eachSet: boolean;
  device: string | undefined;
  json: boolean;
}

export const STATUS_COMMAND: Command = {
  summary: "show whether the backups are as they should be",
  help: HELP,
  run: (args) => status(parseOptions(args)),
};

async function status(options: StatusOptions): Promise<number> {
  const { folder, device } = options;
  const vault = await openVault(folder);
  try {
    const { profile, session } = vault;
    const wanted = device === undefined ? undefined : await findDevice(device, profile);
    if (wanted?.revoked) throw new UsageError(`Cannot show ${device}: the device is revoked`);
    const devices = (await findDeviceStatus(vault))
      .filter(({ device: { index } }) => wanted === undefined || index === wanted.index);
    const usage = await askUsage(session);
    const clock = readClock(session.welcome.timeMs);
    const report = new StatusReport(options, clock.nowMs);
    for (const status of devices) report.device(status);
    report.drills(devices);
    report.vault(profile.journal.facts, clock.serverMs);
    report.server(usage, clock);
    return report.finish();
  } finally {
    vault.session.close();
  }
}

/** Undefined: the server is older than this question. */
async function askUsage(session: VaultClientSession): Promise<Usage | undefined> {
  try {
    return await session.status();
  } catch (error) {
    if (error instanceof NotUnderstoodError) return undefined;
    throw error;
  }
}

interface ClockReading {
  /** What ages are counted from. */
  nowMs: number;
  serverMs: number;
  /** How much further the server's clock is than this machine's. */
  differenceMs: number;
}

function readClock(serverMs: number): ClockReading {
  const ownMs = Date.now();
  return { nowMs: Math.max(serverMs, ownMs), serverMs, differenceMs: serverMs - ownMs };
}

/** Shows, and judges. */
class StatusReport {
  readonly #options: StatusOptions;
  readonly #nowMs: number;
  /** What is older than it should be, in words. */
  readonly #overdue: string[] = [];
  /** What is damaged, in words. */
  readonly #damage: string[] = [];
  #hasHeadings = false;

  constructor(options: StatusOptions, nowMs: number) {
    this.#options = options;
    this.#nowMs = nowMs;
  }

  device(status: DeviceStatus): void {
    const { device, name, sets, drill } = status;
    const late = this.#judge(status);
    this.#overdue.push(...late);
    const broken = sets.reduce((sum, set) => sum + set.broken, 0);
    if (broken > 0) {
      this.#damage.push(`${broken} of the newest snapshots of ${showPath(name)} are damaged`);
    }
    if (drill !== undefined && drill.damaged + drill.differing > 0) {
      this.#damage.push(`the last drill by ${showPath(name)} found damage; another one clears it`);
    }
    if (this.#options.json) {
      const isOverdue = late.length > 0;
      const described = sets.map((set) => this.#setFields(set));
      const fields = { id: device.id.toHex(), name, role: ROLE_NAMES[device.role], isOverdue };
      const drilled = drill === undefined ? {} : { drill: this.#drillFields(drill) };
      return print(JSON.stringify({ event: "device", ...fields, sets: described, ...drilled }));
    }
    if (!this.#hasHeadings) print(HEADINGS);
    this.#hasHeadings = true;
    const lines = sets.length === 0 ? [NO_SET] : sets;
    for (const set of lines) print(this.#formatSet(set, status));
  }

  /** The newest drill of each device that made one. */
  drills(devices: DeviceStatus[]): void {
    if (this.#options.json) return; // each is in its device's object
    print("");
    for (const { name, drill } of devices) {
      if (drill === undefined) continue;
      const when = `${showSpan(this.#age(drill.timeMs))} ago by ${showPath(name)}`;
      print(`drill: ${when}, of ${shortId(drill)}: ${drillText(drill)}`);
    }
    if (devices.every(({ drill }) => drill === undefined)) print("drill: never");
  }

  /** What the journal says of all. @param serverMs the hold counts by the server's clock */
  vault(facts: Readonly<JournalFacts>, serverMs: number): void {
    const devices = [...facts.devices.values()];
    const all = [...facts.snapshots];
    const held = all.filter(({ holdUntilMs }) => holdUntilMs !== 0).length;
    const counts = {
      devices: devices.filter(({ revoked }) => !revoked).length,
      revoked: devices.filter(({ revoked }) => revoked).length,
      snapshots: all.length - held,
      held,
    };
    if (this.#options.json) {
      const id = facts.vaultId.toHex();
      const policy = policyFields(facts, serverMs);
      return print(JSON.stringify({ event: "vault", id, ...counts, policy }));
    }
    print(`snapshots: ${counts.snapshots}, and ${held} that are forgotten and held`);
    print(`devices: ${counts.devices}, and ${counts.revoked} revoked`);
    for (const line of policyLines(facts, serverMs)) print(line);
  }

  /** What the server says. */
  server(usage: Usage | undefined, { serverMs, differenceMs }: ClockReading): void {
    if (usage !== undefined && usage.damaged > 0) {
      const records = usage.damaged === 1 ? "1 record is" : `${usage.damaged} records are`;
      this.#damage.push(`${records} damaged; "client check" names the files`);
    }
    if (Math.abs(differenceMs) > VAULT_CLIENT.clockDifferenceMs) {
      const way = differenceMs > 0 ? "ahead of" : "behind";
      const span = showSpan(Math.abs(differenceMs));
      printError(`note: the server's clock is ${span} ${way} this machine's`);
    }
    if (this.#options.json) {
      const time = new Date(serverMs).toISOString();
      print(JSON.stringify({ event: "server", time, differenceMs, usage: usage ?? null }));
    } else if (usage === undefined) print("by the server's word: nothing, it is an older version");
    else for (const line of usageLines(usage, this.#nowMs)) print(line);
  }

  /** Sums up. Returns the exit code. */
  finish(): number {
    const [overdue, damage] = [this.#overdue, this.#damage];
    if (this.#options.json) print(JSON.stringify({ event: "summary", overdue, damage }));
    for (const text of overdue) printError(`overdue: ${text}`);
    for (const text of damage) printError(`damaged: ${text}`);
    if (damage.length > 0) return ExitCode.DAMAGED;
    return overdue.length > 0 ? ExitCode.INCOMPLETE : ExitCode.DONE;
  }

  /** What of a device is older than it may be. */
  #judge(status: DeviceStatus): string[] {
    const { device, name, sets } = status;
    const { maxAgeMs, eachSet } = this.#options;
    if (maxAgeMs === Infinity) return [];
    const shown = showPath(name);
    if (device.committedMs === 0) {
      const isDue = device.role === Role.WRITER && this.#age(device.addedMs) > maxAgeMs;
      return isDue ? [`${shown} has never made a backup`] : [];
    }
    const judged = eachSet && sets.length > 0 ? sets.map((set) => [set]) : [sets];
    return judged.flatMap((sets) => {
      const goodMs = newestGoodMs({ sets });
      if (goodMs === undefined) return [`${shown} has no good backup`];
      const age = this.#age(goodMs);
      if (age <= maxAgeMs) return [];
      const what = eachSet && sets[0].root ? ` of ${showPaths(sets[0])}` : "";
      return [`the newest good backup of ${shown}${what} is ${showSpan(age)} old`];
    });
  }

  #age(timeMs: number): number {
    return Math.max(this.#nowMs - timeMs, 0);
  }

  #formatSet(set: SetStatus, { device, name }: DeviceStatus): string {
    const { good, snapshots, broken, root } = set;
    const notes = [
      broken > 0 ? `the newest ${broken} are damaged` : "",
      root !== undefined && root.skipped > 0 ? `${root.skipped} skipped` : "",
    ].filter((note) => note !== "");
    return [
      (good === undefined ? "-" : showTime(good.timeMs)).padEnd(19),
      (good === undefined ? "-" : showSpan(this.#age(good.timeMs))).padEnd(8),
      (good === undefined ? "-" : shortId(good)).padEnd(12),
      String(snapshots).padStart(9),
      ROLE_NAMES[device.role].padEnd(6),
      showPath(name),
      root === undefined ? "" : showPaths(set),
      notes.length > 0 ? `(${notes.join("; ")})` : "",
    ].join("  ").trimEnd();
  }

  #setFields({ good, snapshots, broken, root }: SetStatus): Record<string, unknown> {
    const fields = { snapshots, broken };
    if (good === undefined) return fields;
    const { timeMs } = good;
    const newest = {
      ...{ ...fields, snapshot: good.root.toHex(), committed: new Date(timeMs).toISOString() },
      ageSeconds: Math.floor(this.#age(timeMs) / 1000),
    };
    if (root === undefined) return newest;
    const { host, paths, tags, skipped, totals: { files, bytes } } = root;
    return { ...newest, host, paths, tags, files, bytes, skipped };
  }

  #drillFields({ root, timeMs, ...counts }: DrillFacts): Record<string, unknown> {
    const ageSeconds = Math.floor(this.#age(timeMs) / 1000);
    return { snapshot: root.toHex(), time: new Date(timeMs).toISOString(), ageSeconds, ...counts };
  }
}

const HEADINGS = "last good backup     age       snapshot      snapshots  role    device  paths";
const NO_SET: SetStatus = { snapshots: 0, good: undefined, broken: 0, root: undefined };

function shortId({ root }: { root: Uint8Array }): string {
  return root.toHex().slice(0, SHORT_ID_DIGITS);
}

function showPaths({ root }: SetStatus): string {
  return root!.paths.map(showPath).join(",");
}

function parseOptions(args: string[]): StatusOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const maxAgeMs = readFlag(values, {
    flag: "max-age",
    parse: parseDuration,
    otherwise: Infinity,
  });
  const eachSet = values["each-set"] === true;
  if (eachSet && maxAgeMs === Infinity) {
    throw new UsageError("--each-set judges by --max-age, which is missing");
  }
  return {
    folder: profileOf(values),
    ...{ maxAgeMs, eachSet },
    device: readText(values, "device"),
    json: values.json === true,
  };
}
