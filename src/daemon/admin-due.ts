/** When the HTTP servers come: this file is loaded from the start, what they are made of is not. */
import type { Clock } from "../base/clock.ts";
import { ADMIN_WAIT_LOADING_MS, ADMIN_WAIT_MS } from "../base/limits.ts";

export interface AdminDueOptions {
  readonly firstSync: Promise<void>;
  /** The source has answered: what follows takes the processor. */
  readonly connected: () => boolean;
  readonly clock: Clock;
}

/**
 * Resolves after the first sync, so that loading the servers does not hold it up; but soon where it
 * cannot come since the source does not answer, as whoever probes this node must hear that, and in
 * any case some time later.
 */
export function adminDue({ firstSync, connected, clock }: AdminDueOptions): Promise<void> {
  const waited = new Promise<void>((resolve) => {
    clock.after(ADMIN_WAIT_MS, () => {
      if (connected()) clock.after(ADMIN_WAIT_LOADING_MS - ADMIN_WAIT_MS, resolve);
      else resolve();
    });
  });
  return Promise.race([firstSync, waited]);
}
