/**
 * What the server counts about itself, in the text format of Prometheus, version 0.0.4 (docs/operations.md, "Watching it").
 * All names and labels are fixed here: a stranger can add no series, and nothing tells of one vault or device.
 */

type MetricType = "counter" | "gauge";

/** Names, types, help, and the one label that some have. */
const METRICS = {
  holdfast_connections: ["gauge", "Connections that are open", "protocol"],
  holdfast_connections_total: ["counter", "Connections that were accepted", "protocol"],
  holdfast_connections_refused_total: ["counter", "Connections past a bound", "bound"],
  holdfast_received_bytes_total: ["counter", "Bytes received", "protocol"],
  holdfast_sent_bytes_total: ["counter", "Bytes sent", "protocol"],
  holdfast_requests_total: ["counter", "Requests of vault clients", "code"],
  holdfast_requests_refused_total: [
    "counter",
    "Requests that were answered with an error",
    "reason",
  ],
  holdfast_backup_sessions: ["gauge", "Backup sessions that are open"],
  holdfast_vaults: ["gauge", "Vaults"],
  holdfast_packs: ["gauge", "Packs of all vaults"],
  holdfast_pack_bytes: ["gauge", "Size of all packs"],
  holdfast_damaged_records: ["gauge", "Records that are known to be damaged"],
  holdfast_parity_bytes: ["gauge", "Size of the parity of all packs"],
  holdfast_packs_without_parity: ["gauge", "Packs that have no parity"],
  holdfast_repaired_records_total: ["counter", "Records that were repaired from parity"],
  holdfast_collected_oldest_timestamp_seconds: [
    "gauge",
    "Oldest last collection of a vault; 0 if one never was",
  ],
  holdfast_scrubbed_oldest_timestamp_seconds: [
    "gauge",
    "Oldest last comparison of a pack; 0 if one never was",
  ],
  holdfast_upkeep_last_timestamp_seconds: ["gauge", "When work on a vault last ended well", "work"],
  holdfast_upkeep_last_duration_seconds: ["gauge", "How long it took", "work"],
  holdfast_upkeep_failures_total: ["counter", "Work on a vault that failed", "work"],
  holdfast_disk_free_bytes: ["gauge", "Free space, if the server may ask for it"],
  holdfast_disk_full: ["gauge", "1 while nothing new is taken because the disk is full"],
  holdfast_clock_stopped: ["gauge", "1 while nothing expires because the clock was set"],
  holdfast_process_resident_bytes: ["gauge", "Memory of the process"],
  holdfast_process_heap_bytes: ["gauge", "Of it, the heap that is in use"],
  holdfast_process_start_timestamp_seconds: ["gauge", "When the server started"],
} as const satisfies Record<string, readonly [MetricType, string, string?]>;

export type MetricName = keyof typeof METRICS;

/** Values of one label that are kept; there are far fewer. */
const LABELS_MAX = 64;

/** Bytes in both directions. */
export interface Traffic {
  receivedBytes: number;
  sentBytes: number;
}

export class Metrics {
  /** By name, then by the label's value; "" without a label. */
  readonly #values = new Map<MetricName, Map<string, number>>();
  readonly #traffic = new Map<string, Traffic>();

  /** Adds to a counter, or to a gauge. */
  add(name: MetricName, label = "", by = 1): void {
    this.set(name, (this.#values.get(name)?.get(label) ?? 0) + by, label);
  }

  set(name: MetricName, value: number, label = ""): void {
    let values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, values = new Map());
    if (values.has(label) || values.size < LABELS_MAX) values.set(label, value);
  }

  /** What the channels of a protocol count into. */
  traffic(protocol: string): Traffic {
    let traffic = this.#traffic.get(protocol);
    if (traffic === undefined) {
      this.#traffic.set(protocol, traffic = { receivedBytes: 0, sentBytes: 0 });
    }
    return traffic;
  }

  /** The text of a scrape. */
  format(): string {
    for (const [protocol, { receivedBytes, sentBytes }] of this.#traffic) {
      this.set("holdfast_received_bytes_total", receivedBytes, protocol);
      this.set("holdfast_sent_bytes_total", sentBytes, protocol);
    }
    let text = "";
    for (const [name, [type, help, label]] of Object.entries(METRICS)) {
      const values = this.#values.get(name as MetricName);
      if (values === undefined) continue;
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
      for (const [value, number] of values) {
        const labels = label === undefined ? "" : `{${label}="${escapeLabel(value)}"}`;
        text += `${name}${labels} ${number}\n`;
      }
    }
    return text;
  }
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}
