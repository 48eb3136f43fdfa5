/** Provides the time. Callers receive a Clock, so that tests can control it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number;
  /**
   * Calls `run` once after `ms`, or after TIMER_MS_MAX if that is less. Call the result to cancel.
   * The timer does not keep the process alive.
   */
  after(ms: number, run: () => void): () => void;
  /** Calls `run` once, after pending input has been handled. */
  soon(run: () => void): void;
}

/** Longest timer delay, 24 days. setTimeout fires at once if the delay is longer. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Yields to all other pending work. */
export function yieldToEventLoop(clock: Pick<Clock, "soon">): Promise<void> {
  return new Promise((resolve) => clock.soon(resolve));
}

/** The system clock. */
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

/** Rounds a duration in milliseconds to microseconds, as logs and the admin API print it. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
