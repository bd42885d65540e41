/** Clocks, and waiting, but not for ever. */

/** The two clocks. Passed in, so that tests have their own. */
export interface Clock {
  /** Milliseconds since 1970, for people. May jump. */
  wall(): number;
  /** Milliseconds since some moment, for durations. Only grows. */
  elapsed(): number;
}

export const SYSTEM_CLOCK: Clock = {
  wall: () => Date.now(),
  elapsed: () => performance.now(),
};

/** The wall clock's time as it stands in the database: ISO 8601, UTC. */
export function timestamp(clock: Clock): string {
  return new Date(clock.wall()).toISOString();
}

/** Work whose result is good for a while: asked again before then, what it gave last. What fails is not remembered. */
export function remembered<T>(
  work: () => Promise<T>,
  { forMs, clock }: { forMs: number; clock: Clock },
): () => Promise<T> {
  let madeMs = -Infinity;
  let last: Promise<T> | undefined;
  return () => {
    const now = clock.elapsed();
    if (last === undefined || now - madeMs >= forMs) {
      madeMs = now;
      last = work();
      last.catch(() => last = undefined);
    }
    return last;
  };
}

/** What the promise gives, or `late` when it has given nothing after `maxMs` milliseconds. */
export async function within<T, L>(promise: Promise<T>, maxMs: number, late: L): Promise<T | L> {
  if (maxMs === Infinity) return await promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<L>((resolve) => {
    timer = setTimeout(() => resolve(late), maxMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
