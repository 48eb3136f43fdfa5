/** Tracks owners with elements that the kernel refused, and retries each with a growing delay. */

import type { Clock } from "../base/clock.ts";
import { REFUSED_RETRY_MS, REFUSED_RETRY_MS_MAX } from "../base/limits.ts";
import { retryDelay } from "../base/retry-delay.ts";
import type { OwnerId } from "../model/owner.ts";

const DELAYS = { firstMs: REFUSED_RETRY_MS, maxMs: REFUSED_RETRY_MS_MAX };

interface PendingRetry {
  readonly attempts: number;
  readonly cancel: () => void;
}

export class RefusedRetries {
  readonly #clock: Clock;
  readonly #retry: (owner: OwnerId) => void;
  readonly #refusals = new Map<OwnerId, PendingRetry>();

  /** `retry` is called when the delay of an owner has passed. The caller then syncs that owner. */
  constructor(clock: Clock, retry: (owner: OwnerId) => void) {
    this.#clock = clock;
    this.#retry = retry;
  }

  /** Records that the kernel just refused an element of this owner. */
  add(owner: OwnerId): void {
    const before = this.#refusals.get(owner);
    before?.cancel();
    const attempts = (before?.attempts ?? 0) + 1;
    const cancel = this.#clock.after(retryDelay(attempts, DELAYS), () => this.#retry(owner));
    this.#refusals.set(owner, { attempts, cancel });
  }

  /** Records that the owner's elements are in the kernel. Returns true if it was refused before. */
  delete(owner: OwnerId): boolean {
    const refusal = this.#refusals.get(owner);
    refusal?.cancel();
    return this.#refusals.delete(owner);
  }
}
