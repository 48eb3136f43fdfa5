/** Waits, but never without a limit. */
import { duration } from "./terminal.ts";

/** The demo cannot continue; the message gives the full reason. */
export class GaveUp extends Error {}

/**
 * Waits for `wait`, for at most `limit` milliseconds, and then throws GaveUp. `what` completes
 * "Cannot ...", and `soFar` describes the progress.
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
