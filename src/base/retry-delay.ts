/** Exponential backoff: the wait doubles with each attempt up to a maximum. */

/** In milliseconds. */
export interface RetryDelays {
  /** Wait after the first attempt. */
  readonly firstMs: number;
  readonly maxMs: number;
  /**
   * Uniform in [0, 1). With it a delay is longer by up to its own length, but never above `maxMs`, so that
   * many clients that failed together do not retry together.
   */
  readonly random?: () => number;
}

/** How long to wait after `attempts` attempts failed in a row, from 1. */
export function retryDelay(attempts: number, { firstMs, maxMs, random }: RetryDelays): number {
  const step = Math.min(maxMs, firstMs * 2 ** (attempts - 1));
  return random === undefined ? step : Math.min(maxMs, step * (1 + random()));
}
