/** A TCP proxy in front of the server that treats what passes as a fault wants. */

/** Which way bytes go. */
export type Direction = "up" | "down";

/** What becomes of some bytes; with "cut" they and the connection are lost. */
export type Fate = "pass" | "cut";
/** Decides it, and may take its time. */
export type Treat = (
  passing: { direction: Direction; bytes: number; connection: number },
) => Promise<Fate> | Fate;

const PIECE_BYTES = 4096;

export class Proxy {
  treat: Treat = () => "pass";
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #target: () => number;
  readonly #open = new Set<Deno.TcpConn>();
  #connections = 0;

  /** @param target the server's port */
  constructor(target: () => number) {
    this.#target = target;
    this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  close(): void {
    this.#listener.close();
    for (const conn of this.#open) close(conn);
  }

  async #serve(): Promise<void> {
    try {
      for await (const client of this.#listener) this.#join(client);
    } catch {
      // It is closed.
    }
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    const connection = this.#connections++;
    this.#open.add(client);
    let server: Deno.TcpConn | undefined;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target() });
      this.#open.add(server);
      client.setNoDelay(true);
      server.setNoDelay(true);
      await Promise.race([
        this.#pass(client, server, { direction: "up", connection }),
        this.#pass(server, client, { direction: "down", connection }),
      ]);
    } catch {
      // One of the two has ended it.
    } finally {
      for (const conn of [client, server]) {
        if (conn === undefined) continue;
        close(conn);
        this.#open.delete(conn);
      }
    }
  }

  async #pass(
    from: Deno.TcpConn,
    to: Deno.TcpConn,
    way: { direction: Direction; connection: number },
  ): Promise<void> {
    const buffer = new Uint8Array(PIECE_BYTES);
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) return;
      const fate = await this.treat({ ...way, bytes: count });
      if (fate === "cut") return;
      for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
    }
  }
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already
  }
}
