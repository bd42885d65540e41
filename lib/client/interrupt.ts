/** Ctrl-C, and a system that shuts down: what is under way ends at once, and in order. */
import { ExitCode, HoldfastError } from "../errors.ts";

export class InterruptedError extends HoldfastError {
  override name = "InterruptedError";
  override readonly exitCode = ExitCode.INTERRUPTED;
}

const SIGNALS: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];

/** Rejects at the first signal, with what `message` says; the second ends the process. */
export class Interruption implements Disposable {
  readonly interrupted: Promise<never>;
  readonly #onSignal: () => void;

  constructor(message: string) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.interrupted = promise;
    promise.catch(() => {}); // nobody may be waiting
    let count = 0;
    this.#onSignal = () => {
      if (++count > 1) Deno.exit(ExitCode.INTERRUPTED);
      reject(new InterruptedError(message));
    };
    for (const signal of SIGNALS) Deno.addSignalListener(signal, this.#onSignal);
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, this.#onSignal);
  }
}
