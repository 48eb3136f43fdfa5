/** Time, passed in wherever it is needed, so that tests and simulations own it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonic(): number;
  /** Calls back once after `ms`, or after TIMER_MS_MAX if that is less; the result cancels. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void;
  /** Calls back once, after the input that is already waiting has been handled. */
  soon(run: () => void): void;
}

/** The longest that a timer waits, 24 days: a longer one fires at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Everything else that waits gets its turn. */
export function turn(clock: Pick<Clock, "soon">): Promise<void> {
  return new Promise((resolve) => clock.soon(resolve));
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, TIMER_MS_MAX));
    timer.unref();
    return () => clearTimeout(timer);
  },
  soon(run) {
    setImmediate(run);
  },
};
