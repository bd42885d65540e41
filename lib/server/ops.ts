/** The port for those who watch the server (docs/operations.md, "Watching it"): `/healthz` and `/metrics`, nothing else. */
import { join } from "node:path";
import type { Database } from "../db.ts";
import { UsageDatabase } from "../db_usage.ts";
import { VaultDatabase } from "../db_vault.ts";
import { describeError, HoldfastError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import { OPS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Clock, remembered } from "../time.ts";
import { ClockGuard } from "./clock_guard.ts";
import { findDiskSpace } from "./disk_space.ts";
import type { Service } from "./listener.ts";
import type { Metrics } from "./metrics.ts";
import type { Reserve } from "./reserve.ts";

export interface OpsOptions {
  address: HostPort;
  dataPath: string;
  db: Database;
  metrics: Metrics;
  reserve: Reserve;
  log: Log;
  clock: Clock;
}

const TEXT = { "content-type": "text/plain; charset=utf-8" };
const METRICS_TEXT = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };

/** Listens at once. @throws {HoldfastError} if the address cannot be had */
export function startOps(options: OpsOptions): Service {
  const { address, log, clock, metrics } = options;
  metrics.set("holdfast_process_start_timestamp_seconds", clock.wall() / 1000);
  const scrape = remembered(() => measure(options), { forMs: OPS.cacheMs, clock });
  const handler = async (request: Request): Promise<Response> => {
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "GET only\n");
    switch (new URL(request.url).pathname) {
      case "/healthz": {
        const reason = await findFault(options);
        return reason === undefined ? answer(200, "ok\n") : answer(503, `${reason}\n`);
      }
      case "/metrics":
        return answer(200, await scrape(), METRICS_TEXT);
    }
    return answer(404, "not found\n");
  };
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      ...address,
      onListen: () => {},
      onError: (error) => {
        log.error("ops request failed", error);
        return answer(500, "failed; the log says why\n");
      },
    }, handler);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new HoldfastError(`Cannot listen on ${formatHostPort(address)}`, {
      cause,
      hint: "--ops names another address",
    });
  }
  const { hostname, port } = server.addr;
  return { address: { hostname, port }, stop: () => server.shutdown() };
}

/** Why the server does not work as it should, for people; undefined if it does. */
async function findFault({ db, dataPath, reserve }: OpsOptions): Promise<string | undefined> {
  try {
    const step = await ClockGuard.findStep(new VaultDatabase(db.sql));
    if (step !== undefined) return `clock was set ${step}: nothing expires`;
  } catch (error) {
    return `database does not answer: ${describeError(error)}`;
  }
  try {
    (await Deno.open(join(dataPath, "holdfast.lock"), { write: true })).close();
  } catch (error) {
    return `data folder cannot be written: ${describeError(error)}`;
  }
  return reserve.isFull ? "disk full: nothing new is taken" : undefined;
}

async function measure({ db, dataPath, reserve, metrics }: OpsOptions): Promise<string> {
  const totals = await new UsageDatabase(db.sql).findTotals();
  const disk = await findDiskSpace(dataPath);
  const step = await ClockGuard.findStep(new VaultDatabase(db.sql));
  const { rss, heapUsed } = Deno.memoryUsage();
  metrics.set("holdfast_backup_sessions", totals.sessions);
  metrics.set("holdfast_vaults", totals.vaults);
  metrics.set("holdfast_packs", totals.packs);
  metrics.set("holdfast_pack_bytes", totals.packBytes);
  metrics.set("holdfast_parity_bytes", totals.parityBytes);
  metrics.set("holdfast_packs_without_parity", totals.barePacks);
  metrics.set("holdfast_damaged_records", totals.damagedRecords);
  metrics.set("holdfast_collected_oldest_timestamp_seconds", totals.collectedMs / 1000);
  metrics.set("holdfast_scrubbed_oldest_timestamp_seconds", totals.scrubbedMs / 1000);
  if (disk) metrics.set("holdfast_disk_free_bytes", disk.free);
  metrics.set("holdfast_disk_full", Number(reserve.isFull));
  metrics.set("holdfast_clock_stopped", Number(step !== undefined));
  metrics.set("holdfast_process_resident_bytes", rss);
  metrics.set("holdfast_process_heap_bytes", heapUsed);
  return metrics.format();
}

function answer(status: number, body: string, headers: Record<string, string> = TEXT): Response {
  return new Response(body, { status, headers: { ...headers, "cache-control": "no-store" } });
}
