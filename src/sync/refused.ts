/** Owners whose elements the kernel refused: left out of transactions, tried again with growing waits. */

import type { Clock } from "../base/clock.ts";
import { REFUSED_RETRY_MS, REFUSED_RETRY_MS_MAX } from "../base/limits.ts";
import { retryDelay } from "../base/retry-delay.ts";
import type { OwnerId } from "../model/owner.ts";

const DELAYS = { firstMs: REFUSED_RETRY_MS, maxMs: REFUSED_RETRY_MS_MAX };

interface Refusal {
  readonly attempts: number;
  readonly cancel: () => void;
}

export class RefusedOwners {
  readonly #clock: Clock;
  readonly #retry: (owner: OwnerId) => void;
  readonly #refusals = new Map<OwnerId, Refusal>();

  /** `retry` is called when an owner's wait is over; it is then to be synced again. */
  constructor(clock: Clock, retry: (owner: OwnerId) => void) {
    this.#clock = clock;
    this.#retry = retry;
  }

  /** The kernel refused an element of this owner just now. */
  add(owner: OwnerId): void {
    const before = this.#refusals.get(owner);
    before?.cancel();
    const attempts = (before?.attempts ?? 0) + 1;
    const cancel = this.#clock.after(retryDelay(attempts, DELAYS), () => this.#retry(owner));
    this.#refusals.set(owner, { attempts, cancel });
  }

  /** The owner's elements are in the kernel. True if it had been refused before. */
  delete(owner: OwnerId): boolean {
    const refusal = this.#refusals.get(owner);
    refusal?.cancel();
    return this.#refusals.delete(owner);
  }
}
