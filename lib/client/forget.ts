/** `client forget`: gives snapshots up, by name or by rules. They are held, and can be brought back, for a while. */
import { equalBytes } from "../bytes.ts";
import { ExitCode, UsageError } from "../errors.ts";
import { parseFlags } from "../flags.ts";
import { EventKind } from "../journal.ts";
import type { SnapshotRow } from "../journal_snapshots.ts";
import { type Command, print, printError } from "../program.ts";
import { groupBySet, selectKept } from "../retention.ts";
import { deriveLabelKey, tagLabel } from "../vault/secrets.ts";
import { deviceNames } from "./device_choice.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { showPath, showTime } from "./entry_text.ts";
import {
  hasRules,
  KEEP_FLAGS,
  KEEP_HELP,
  type KeepRules,
  NO_RULES,
  readKeepRules,
} from "./keep_flags.ts";
import type { ProfileFolder } from "./profile_folder.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import {
  filterSnapshots,
  findSnapshot,
  SHORT_ID_DIGITS,
  type SnapshotFilter,
} from "./snapshot_choice.ts";
import { changeSnapshots, requireOwner } from "./snapshot_events.ts";
import { openVault, type VaultAccess } from "./vault_access.ts";

const HELP = `client forget: gives snapshots up

Usage: client forget [flags] SNAPSHOT...
       client forget [flags] --keep-... N

By name: "latest", or the beginning of an id that "client snapshots" shows. By rules: all are
forgotten that no rule keeps. Rules are applied to each device and each set of paths by itself,
by the server's time of the backups, in UTC; the newest of each is always kept.

${KEEP_HELP}
  --keep-tag T     keep those with this tag; may be given several times
  --device NAME    only snapshots of this device
  --tag TAG        only snapshots with this tag
  --dry-run        only show what would be forgotten
${PROFILE_HELP}
  --json           one JSON object for each snapshot on standard output

What is forgotten is held for a while: "client snapshots --all" shows until when, and
"client unforget" brings it back. Only an owner may forget.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...KEEP_FLAGS,
  "keep-tag": { type: "string", multiple: true },
  device: { type: "string" },
  tag: { type: "string" },
  "dry-run": { type: "boolean" },
} as const;

interface ForgetOptions {
  folder: ProfileFolder;
  names: string[];
  rules: KeepRules;
  keepTags: string[];
  filter: SnapshotFilter;
  isDry: boolean;
  json: boolean;
}

export const FORGET_COMMAND: Command = {
  summary: "give snapshots up; they are held for a while",
  help: HELP,
  run: (args) => forget(parseOptions(args)),
};

async function forget(options: ForgetOptions): Promise<number> {
  const vault = await openVault(options.folder);
  try {
    requireOwner(vault, "forget");
    const rows = options.names.length > 0
      ? await chooseNamed(vault, options)
      : await chooseByRules(vault, options);
    if (!options.isDry) await changeSnapshots(vault, EventKind.FORGET, rows);
    await report(vault, rows, options);
  } finally {
    vault.session.close();
  }
  return ExitCode.DONE;
}

async function chooseNamed(
  { profile }: VaultAccess,
  { names, filter }: ForgetOptions,
): Promise<SnapshotRow[]> {
  const rows = new Map<string, SnapshotRow>();
  for (const name of names) {
    const row = await findSnapshot(name, { profile, filter });
    if (row.holdUntilMs !== 0) throw new UsageError(`Cannot forget ${name}: it is forgotten`);
    rows.set(row.root.toHex(), row);
  }
  return [...rows.values()];
}

async function chooseByRules(
  { profile }: VaultAccess,
  { rules, keepTags, filter }: ForgetOptions,
): Promise<SnapshotRow[]> {
  const labelKey = deriveLabelKey(profile.keyring.epochs[0].writeSecret);
  const labels = keepTags.map((tag) => tagLabel(labelKey, tag));
  const rows = [...filterSnapshots(profile, { filter, names: await deviceNames(profile) })];
  const groups = groupBySet(rows.filter(({ holdUntilMs }) => holdUntilMs === 0));
  return [...groups.values()].flatMap((group) => findUnkept(group, { rules, labels }));
}

/** Of one device and set of paths, oldest first: those that nothing keeps. */
export function findUnkept(
  group: SnapshotRow[],
  { rules, labels }: { rules: KeepRules; labels: Uint8Array[] },
): SnapshotRow[] {
  const kept = hasRules(rules)
    ? selectKept(group.map(({ timeMs }) => timeMs), { ...rules, holdMs: 0 })
    : group.map((_, i) => i === group.length - 1);
  return group.filter(({ tagLabels }, i) =>
    !kept[i] && !tagLabels.some((label) => labels.some((other) => equalBytes(label, other)))
  );
}

async function report(
  { profile }: VaultAccess,
  rows: SnapshotRow[],
  { isDry, json }: ForgetOptions,
): Promise<void> {
  const names = await deviceNames(profile);
  for (const row of rows) {
    const device = names[row.device];
    const untilMs = profile.journal.snapshot(row.root)?.holdUntilMs ?? 0;
    if (json) print(JSON.stringify({ ...fieldsOf(row, { device, untilMs }), dryRun: isDry }));
    else {
      const words = isDry ? "would be forgotten" : `forgotten, gone after ${showTime(untilMs)}`;
      const id = row.root.toHex().slice(0, SHORT_ID_DIGITS);
      print(`${id}  ${showTime(row.timeMs)}  ${showPath(device)}  (${words})`);
    }
  }
  if (!json && rows.length === 0) printError("nothing to forget");
}

function fieldsOf(
  row: SnapshotRow,
  { device, untilMs }: { device: string; untilMs: number },
): Record<string, unknown> {
  const fields = {
    event: "forgotten",
    id: row.root.toHex(),
    committed: new Date(row.timeMs).toISOString(),
    device,
  };
  return untilMs === 0 ? fields : { ...fields, heldUntil: new Date(untilMs).toISOString() };
}

function parseOptions(args: string[]): ForgetOptions {
  const { values, positionals } = parseFlags(args, FLAGS);
  const rules = readKeepRules(values);
  const keepTags = (values["keep-tag"] ?? []) as string[];
  const hasKept = rules !== undefined || keepTags.length > 0;
  if (hasKept === positionals.length > 0) {
    throw new UsageError("Cannot forget: either snapshots or rules are needed", {
      hint: "client forget SNAPSHOT..., or client forget --keep-daily 7 --keep-weekly 5",
    });
  }
  return {
    folder: profileOf(values),
    names: positionals,
    rules: rules ?? NO_RULES,
    keepTags,
    filter: { device: values.device as string | undefined, tag: values.tag as string | undefined },
    isDry: values["dry-run"] === true,
    json: values.json === true,
  };
}
