/** Computes exponential backoff: the delay doubles with each attempt, up to a maximum. */

/** All delays are in milliseconds. */
export interface RetryDelays {
  /** Delay after the first attempt. */
  readonly firstMs: number;
  readonly maxMs: number;
  /**
   * Returns a uniform number in [0, 1). If set, it lengthens each delay by up to 100 %, but never
   * above `maxMs`, so that clients that failed together do not retry together.
   */
  readonly random?: () => number;
}

/** Returns the delay after `attempts` consecutive failures; `attempts` starts at 1. */
export function retryDelay(attempts: number, { firstMs, maxMs, random }: RetryDelays): number {
  const step = Math.min(maxMs, firstMs * 2 ** (attempts - 1));
  return random === undefined ? step : Math.min(maxMs, step * (1 + random()));
}
