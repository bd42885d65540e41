/**
 * A connection to the vault that outlives its sockets: when one is lost, it makes another, logs in again, and repeats
 * what was not answered. Every request of the protocol can be repeated (docs/protocol_v4.md, "A lost answer").
 */
import { equalBytes } from "../bytes.ts";
import { UnreachableError } from "../errors.ts";
import { JournalError, type JournalPoint } from "../journal.ts";
import { VAULT_CLIENT } from "../limits.ts";
import type { Welcome } from "../protocol_v4_login.ts";
import { BusyError } from "./answer_error.ts";
import type { LoggedIn } from "./login_v4.ts";
import { ask, type Question } from "./request_v4.ts";
import type { Wire, WireRequest } from "./wire_v4.ts";

export interface LinkOptions {
  /** Makes a connection. */
  connect: () => Promise<Wire>;
  /** Logs in on it. */
  logIn: (wire: Wire) => Promise<LoggedIn>;
  /** Done on each new connection before anything is repeated: what the server forgets with a connection. */
  prepare: (wire: Wire) => Promise<void>;
}

interface Dialled {
  wire: Wire;
  loggedIn: LoggedIn;
}

export class Link {
  readonly #options: LinkOptions;
  #wire: Wire | undefined;
  #welcome!: Welcome;
  /** What waits for a connection. */
  #backlog: WireRequest[] = [];
  /** Why there will be none. */
  #failure: unknown;
  #newest: JournalPoint | undefined;

  private constructor(options: LinkOptions) {
    this.#options = options;
  }

  /**
   * Connects and logs in.
   *
   * @param isFirst of the run: that it fails is told at once, as nothing is under way yet
   */
  static async open(
    options: LinkOptions,
    { isFirst }: { isFirst: boolean },
  ): Promise<{ link: Link } & LoggedIn> {
    const link = new Link(options);
    const { wire, loggedIn } = await link.#dialPatiently(isFirst ? [] : VAULT_CLIENT.reconnectMs);
    link.#use(wire);
    return { link, ...loggedIn };
  }

  get welcome(): Welcome {
    return this.#welcome;
  }

  send(request: WireRequest): void {
    if (this.#failure !== undefined) request.fail(this.#failure);
    else if (this.#wire === undefined) this.#backlog.push(request);
    else this.#wire.send(request);
  }

  /** Asks; when the server is busy, a few times more. */
  async ask<T>(question: Question<T>): Promise<T> {
    for (let attempt = 0;; attempt++) {
      try {
        return await ask((request) => this.send(request), question);
      } catch (error) {
        if (!(error instanceof BusyError) || attempt === VAULT_CLIENT.busyMs.length) throw error;
        await sleep(VAULT_CLIENT.busyMs[attempt]);
      }
    }
  }

  /** Ends it. What is unanswered fails. */
  close(): void {
    this.#fail(new UnreachableError("Connection closed"));
  }

  /** Dials once, and again after each pause as long as the server cannot be reached. */
  async #dialPatiently(pausesMs: readonly number[]): Promise<Dialled> {
    for (const pauseMs of pausesMs) {
      try {
        return await this.#dial();
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
      }
      await sleep(pauseMs);
    }
    return await this.#dial();
  }

  async #dial(): Promise<Dialled> {
    const wire = await this.#options.connect();
    try {
      const loggedIn = await this.#options.logIn(wire);
      this.#welcome = loggedIn.welcome;
      this.#checkNewest(loggedIn.welcome);
      await this.#options.prepare(wire);
      return { wire, loggedIn };
    } catch (error) {
      wire.close();
      throw error;
    }
  }

  /** A server that has gone back between two connections of one run must not go unnoticed. */
  #checkNewest({ headNumber: number, headHash: hash }: Welcome): void {
    const known = this.#newest;
    if (known !== undefined && number < known.number) {
      const state = `event ${known.number} was there, and now it ends at ${number}`;
      throw new JournalError("cut", `Cannot trust journal: ${state}`);
    }
    if (known !== undefined && number === known.number && !equalBytes(hash, known.hash)) {
      throw new JournalError("seen", `Cannot trust journal: event ${number} is another one now`);
    }
    this.#newest = { number, hash };
  }

  #use(wire: Wire): void {
    this.#wire = wire;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const request of backlog) wire.send(request);
    wire.ended.then((error) => this.#recover(wire, error));
  }

  async #recover(wire: Wire, cause: unknown): Promise<void> {
    this.#wire = undefined;
    this.#backlog = [...wire.takePending(), ...this.#backlog];
    if (this.#failure !== undefined) return this.#fail(this.#failure);
    let failure = cause;
    for (const pauseMs of VAULT_CLIENT.reconnectMs) {
      if (!(failure instanceof UnreachableError)) break;
      await sleep(pauseMs);
      if (this.#failure !== undefined) return;
      try {
        const { wire } = await this.#dial();
        if (this.#failure === undefined) return this.#use(wire);
        wire.close();
        return;
      } catch (error) {
        failure = error;
      }
    }
    this.#fail(failure);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    const requests = [...this.#wire?.takePending() ?? [], ...this.#backlog];
    this.#backlog = [];
    this.#wire?.close();
    this.#wire = undefined;
    for (const request of requests) request.fail(this.#failure);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
