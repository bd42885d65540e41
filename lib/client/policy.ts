/** `client policy`: which snapshots the server keeps by itself, and for how long it holds what is given up. */
import { ExitCode, UsageError } from "../errors.ts";
import { type FlagValues, parseDuration, parseFlags, readFlag } from "../flags.ts";
import { encodePolicy, type RetentionPolicy } from "../journal_body.ts";
import { holdAt, type JournalFacts } from "../journal_facts.ts";
import { EventKind } from "../journal.ts";
import { VAULT } from "../limits.ts";
import { type Command, print } from "../program.ts";
import { JSON_FLAG, PROFILE_FLAG, profileOf } from "./command_flags.ts";
import { showTime } from "./entry_text.ts";
import { KEEP_FLAGS, KEEP_HELP, NO_RULES, readKeepRules, showRules } from "./keep_flags.ts";
import { PROFILE_HELP } from "./profile_help.ts";
import { requireOwner } from "./snapshot_events.ts";
import { appendEvent, openVault } from "./vault_access.ts";

const DAY_MS = 24 * 3600 * 1000;

const HELP = `client policy: shows or sets what the server keeps by itself

Usage: client policy [flags]

Without rules it shows the policy. With rules it sets them all: what is not named is no rule. They
are applied to each device and each set of paths by itself. What they give up is held first, as what
is forgotten is. "client forget --dry-run" with the same rules shows what they would give up.

${KEEP_HELP}
  --keep-all       no rule: keep everything
  --hold TIME      how long what is given up can be brought back (7d; 1d to 3660d). A longer one
                   counts at once, a shorter one when the longer one has passed
${PROFILE_HELP}
  --json           one JSON object on standard output

Anybody in the vault may look, only an owner may set.`;

const FLAGS = {
  ...PROFILE_FLAG,
  ...JSON_FLAG,
  ...KEEP_FLAGS,
  "keep-all": { type: "boolean" },
  hold: { type: "string" },
} as const;

export const POLICY_COMMAND: Command = {
  summary: "show or set which snapshots are kept",
  help: HELP,
  run: policy,
};

async function policy(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, FLAGS);
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}"`);
  const change = readChange(values);
  const vault = await openVault(profileOf(values));
  try {
    const { journal } = vault.profile;
    if (change !== undefined) {
      requireOwner(vault, "set policy");
      await appendEvent(vault, () => {
        const body = encodePolicy({ ...journal.facts.policy, ...change });
        return Promise.resolve({ kind: EventKind.POLICY, body });
      });
    }
    show(journal.facts, { nowMs: vault.session.welcome.timeMs, json: values.json === true });
  } finally {
    vault.session.close();
  }
  return ExitCode.DONE;
}

function show(
  facts: Readonly<JournalFacts>,
  { nowMs, json }: { nowMs: number; json: boolean },
): void {
  if (json) print(JSON.stringify({ event: "policy", ...policyFields(facts, nowMs) }));
  else for (const line of policyLines(facts, nowMs)) print(line);
}

/** The policy for programs. @param nowMs by the server's clock */
export function policyFields(
  facts: Readonly<JournalFacts>,
  nowMs: number,
): Record<string, unknown> {
  const { holdMs, ...keep } = facts.policy;
  const since = new Date(facts.policySinceMs).toISOString();
  return { keep, holdMs, holdNowMs: holdNow(facts, nowMs), since };
}

/** The policy for people. @param nowMs by the server's clock */
export function policyLines(facts: Readonly<JournalFacts>, nowMs: number): string[] {
  const { holdMs, ...keep } = facts.policy;
  const holdNowMs = holdNow(facts, nowMs);
  const lines = [`keep: ${showRules(keep)}`, `hold: ${showDays(holdMs)}`];
  if (holdNowMs > holdMs) {
    const untilMs = facts.policySinceMs + facts.holdBeforeMs;
    lines.push(`hold until ${showTime(untilMs)}: ${showDays(holdNowMs)}`);
  }
  return lines;
}

function holdNow(facts: Readonly<JournalFacts>, nowMs: number): number {
  // A policy that was set just now is younger than the server's time at login.
  return holdAt(facts, Math.max(nowMs, facts.policySinceMs));
}

function showDays(ms: number): string {
  return `${Math.round(ms / DAY_MS * 100) / 100} days`;
}

function readChange(values: FlagValues): Partial<RetentionPolicy> | undefined {
  const rules = readKeepRules(values);
  if (values["keep-all"] === true && rules !== undefined) {
    throw new UsageError("Cannot set policy: --keep-all and other rules exclude each other");
  }
  const keep = values["keep-all"] === true ? NO_RULES : rules;
  const holdMs = readFlag<number | undefined>(values, {
    flag: "hold",
    parse: parseHold,
    otherwise: undefined,
  });
  if (keep === undefined && holdMs === undefined) return undefined;
  return holdMs === undefined ? { ...keep } : { ...keep, holdMs };
}

function parseHold(text: string): number {
  const ms = parseDuration(text);
  if (ms < VAULT.holdMsMin || ms > VAULT.holdMsMax) {
    throw new UsageError("1d is the shortest, 3660d the longest");
  }
  return ms;
}
