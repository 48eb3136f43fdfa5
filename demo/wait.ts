/** Waiting, but never without an end. */
import { duration } from "./terminal.ts";

/** The demo cannot go on, for a reason that its message says in full. */
export class GaveUp extends Error {}

/**
 * Waits for `wait`, at most `limit` milliseconds; throws GaveUp then. `what` completes "Cannot
 * ...", and `soFar` tells how far it had come.
 */
export async function withTimeout<T>(
  limit: number,
  what: string,
  wait: Promise<T>,
  soFar: () => string = () => "nothing",
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const bound = `it must come within ${duration(limit)}`;
    late.reject(new GaveUp(`Cannot ${what}: ${bound}: current value is ${soFar()}`));
  }, limit);
  try {
    return await Promise.race([wait, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
