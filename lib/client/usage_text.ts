/** What the server says of a vault's space and health, in words. */
import { formatByteSize } from "../flags.ts";
import type { QuotaBounds, Usage } from "../protocol_v4_usage.ts";
import { showSpan } from "./entry_text.ts";

export function usageLines(usage: Usage, nowMs: number): string[] {
  const { storedBytes, records, condemned, damaged, collectedMs, quota } = usage;
  return [
    "by the server's word:",
    `  stored: ${formatByteSize(storedBytes)} in ${records} records, ${condemned} not needed`,
    `  quota: ${quotaText(quota)}`,
    `  damaged: ${damaged === 0 ? "nothing known" : `${damaged} records`}`,
    `  packs: ${readText(usage, nowMs)}`,
    `  collected: ${collectedMs === 0 ? "not yet" : agoText(collectedMs, nowMs)}`,
  ];
}

function quotaText({ bytes, snapshots, devices, rate }: QuotaBounds): string {
  const bounds = [
    bytes === undefined ? "" : formatByteSize(bytes),
    snapshots === undefined ? "" : `${snapshots} snapshots`,
    devices === undefined ? "" : `${devices} devices`,
    rate === undefined ? "" : `${formatByteSize(rate)} per second and device`,
  ].filter((bound) => bound !== "");
  return bounds.length === 0 ? "none" : bounds.join(", ");
}

function readText({ packs, unread, oldestReadMs }: Usage, nowMs: number): string {
  if (packs === 0) return "none";
  if (packs === unread) return `${packs}; none of them has been read back since`;
  const rest = unread === 0 ? "all were read back since" : `${unread} were not read back since`;
  return `${packs}; ${rest}, the one longest ago ${agoText(oldestReadMs, nowMs)}`;
}

function agoText(timeMs: number, nowMs: number): string {
  return `${showSpan(Math.max(nowMs - timeMs, 0))} ago`;
}
