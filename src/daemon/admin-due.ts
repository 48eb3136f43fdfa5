/** Decides when to load the HTTP servers. Only this file is loaded at startup. */
import type { Clock } from "../base/clock.ts";
import { ADMIN_WAIT_LOADING_MS, ADMIN_WAIT_MS } from "../base/limits.ts";

export interface AdminDueOptions {
  readonly firstSync: Promise<void>;
  /** Returns true if the source has answered. The initial list then keeps the processor busy. */
  readonly connected: () => boolean;
  readonly clock: Clock;
}

/**
 * Resolves after the first sync, so that loading the servers does not delay it. If the source has
 * not answered within ADMIN_WAIT_MS, it resolves then, so that health probes get an answer. It
 * resolves after ADMIN_WAIT_LOADING_MS in any case.
 */
export function waitUntilAdminIsDue({
  firstSync,
  connected,
  clock,
}: AdminDueOptions): Promise<void> {
  const waited = new Promise<void>((resolve) => {
    clock.after(ADMIN_WAIT_MS, () => {
      if (connected()) clock.after(ADMIN_WAIT_LOADING_MS - ADMIN_WAIT_MS, resolve);
      else resolve();
    });
  });
  return Promise.race([firstSync, waited]);
}
