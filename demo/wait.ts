/** Waits, but never without a limit. */
import { duration } from "./terminal.ts";

/** The demo cannot continue; the message gives the full reason. */
export class GaveUp extends Error {}

/**
 * Waits for `wait`, for at most `limit` milliseconds, and then throws GaveUp. `what` names the
 * operation, and `soFar` its progress.
 */
export async function withTimeout<T>(
  limit: number,
  what: string,
  wait: Promise<T>,
  soFar?: () => string,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const progress = soFar === undefined ? "" : `: ${soFar()}`;
    late.reject(new GaveUp(`${what}: not done within ${duration(limit)}${progress}`));
  }, limit);
  try {
    return await Promise.race([wait, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
