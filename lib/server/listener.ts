/**
 * Accepts connections and looks after them until they end: bounds, deadlines, stop. What is said on a connection is
 * the session's business.
 */
import { Channel } from "../channel.ts";
import { describeError, HoldfastError, UnreachableError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../flags.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "./metrics.ts";
import { type Clock, within } from "../time.ts";
import { type AccessLimits, addressKey, ConnectionCount } from "./access.ts";

const SWEEP_MS = 250;
const ACCEPT_RETRY_MS = 200;
const HANDSHAKE_MS = 10_000;

/** Who is at the other end. */
export interface Peer {
  /** Host and port, for the log. */
  address: string;
  /** What its bounds are counted by: see {@link addressKey}. */
  key: string;
}

/** The server's half of a conversation. */
export interface Session {
  /** Serves until the peer closes or the protocol ends. */
  run(): Promise<void>;
  /** Whether ending it now would cut something that is under way. */
  isBusy(): boolean;
}

/** A part of the server that listens on its own address. */
export interface Service {
  address: HostPort;
  /** Lets what is under way finish, as far as time allows, and closes everything. */
  stop(): Promise<void>;
}

export interface ListenerOptions {
  hostname: string;
  port: number;
  limits: AccessLimits;
  log: Log;
  clock: Clock;
  /** Where it counts, under which name. */
  metrics?: { metrics: Metrics; protocol: string };
  openSession: (channel: Channel, peer: Peer) => Session;
  /** Speaks TLS, and this protocol only. */
  tls?: { certificatePem: string; privateKeyPem: string; protocol: string };
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #listener: Deno.TcpListener | Deno.TlsListener;
  readonly #connections: ConnectionCount;
  readonly #open = new Map<Channel, Session>();
  readonly #running = new Set<Promise<void>>();
  readonly #sweeper: ReturnType<typeof setInterval>;
  readonly #accepting: Promise<void>;
  #stopping = false;

  /** Listens at once. @throws {HoldfastError} if the address cannot be had */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#connections = new ConnectionCount(options.limits);
    this.#listener = listen(options);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#accepting = this.#accept();
  }

  /** Where it listens; the port is the real one also when a free one was asked for. */
  get address(): Deno.NetAddr {
    return this.#listener.addr as Deno.NetAddr;
  }

  isStopping(): boolean {
    return this.#stopping;
  }

  /** Accepts no more, ends what is idle, and gives what is under way at most `maxMs` milliseconds. */
  async stop(maxMs: number): Promise<void> {
    this.#stopping = true;
    this.#listener.close();
    const { elapsed } = this.#options.clock;
    const deadline = elapsed() + maxMs;
    for (;;) {
      const isLate = elapsed() >= deadline;
      for (const [channel, session] of this.#open) {
        if (isLate || !session.isBusy()) channel.abort("server stops");
      }
      if (this.#open.size === 0 || isLate) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all([this.#accepting, ...this.#running]);
    clearInterval(this.#sweeper);
  }

  async #accept(): Promise<void> {
    while (!this.#stopping) {
      try {
        this.#admit(await this.#listener.accept());
      } catch (error) {
        if (this.#stopping) break;
        // Out of file descriptors, or a connection that was reset before it was taken.
        this.#options.log.error("cannot accept connection", error);
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  #admit(conn: Deno.TcpConn | Deno.TlsConn): void {
    const { hostname, port } = conn.remoteAddr as Deno.NetAddr;
    const key = addressKey(hostname);
    const admission = this.#connections.add(key);
    if (admission !== "ok") {
      this.#options.log.warn("connection refused", { address: hostname, bound: admission });
      this.#options.metrics?.metrics.add("holdfast_connections_refused_total", admission);
      conn.close();
      return;
    }
    this.#count(1);
    const running = this.#run(conn, { address: formatHostPort({ hostname, port }), key })
      .finally(() => {
        this.#connections.remove(key);
        this.#count(-1);
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  #count(by: 1 | -1): void {
    if (this.#options.metrics === undefined) return;
    const { metrics, protocol } = this.#options.metrics;
    metrics.add("holdfast_connections", protocol, by);
    if (by > 0) metrics.add("holdfast_connections_total", protocol);
  }

  async #run(conn: Deno.TcpConn | Deno.TlsConn, peer: Peer): Promise<void> {
    const { metrics } = this.#options;
    const channel = new Channel(conn, metrics?.metrics.traffic(metrics.protocol));
    try {
      if ("handshake" in conn) await this.#shakeHands(conn);
      else conn.setNoDelay(true);
      const session = this.#options.openSession(channel, peer);
      this.#open.set(channel, session);
      await session.run();
    } catch (error) {
      this.#logEnd(error, peer.address);
    } finally {
      this.#open.delete(channel);
      channel.close();
    }
  }

  /** @throws {UnreachableError} if the peer does not get to speak our protocol over TLS */
  async #shakeHands(conn: Deno.TlsConn): Promise<void> {
    let protocol: string | null | undefined;
    try {
      protocol = (await within(conn.handshake(), HANDSHAKE_MS, undefined))?.alpnProtocol;
    } catch (cause) {
      throw new UnreachableError("TLS handshake failed", { cause });
    }
    if (protocol !== this.#options.tls?.protocol) {
      throw new UnreachableError("peer speaks another protocol, or nothing");
    }
  }

  #logEnd(error: unknown, address: string): void {
    const { log } = this.#options;
    if (error instanceof UnreachableError) {
      log.warn("connection ended", { address, reason: describeError(error) });
    } else log.error("connection failed", error, { address });
  }

  #sweep(): void {
    const now = performance.now();
    for (const channel of this.#open.keys()) {
      if (channel.isOverdue(now)) channel.abort("peer took too long");
    }
  }
}

function listen({ hostname, port, tls }: ListenerOptions): Deno.TcpListener | Deno.TlsListener {
  try {
    if (tls === undefined) return Deno.listen({ hostname, port });
    const { certificatePem: cert, privateKeyPem: key, protocol } = tls;
    return Deno.listenTls({ hostname, port, cert, key, alpnProtocols: [protocol] });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new HoldfastError(`Cannot listen on ${formatHostPort({ hostname, port })}`, {
      cause,
      hint: "another program may use this port; --classic and --listen name others",
    });
  }
}
