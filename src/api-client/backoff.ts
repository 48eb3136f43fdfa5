/**
 * Waits between attempts, with jitter, because all nodes of a cluster lose their API server
 * together.
 */
import type { Clock } from "../base/clock.ts";
import { type RetryDelays, retryDelay } from "../base/retry-delay.ts";

export interface BackoffOptions extends Required<RetryDelays> {
  readonly clock: Clock;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;
  #wake: (() => void) | undefined;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  reset(): void {
    this.#attempts = 0;
  }

  /**
   * Waits for the next backoff delay, or for `atLeastMs` if that is longer. `wake` ends the wait
   * early.
   */
  async wait(atLeastMs = 0): Promise<void> {
    const { clock } = this.#options;
    this.#attempts += 1;
    const ms = Math.max(atLeastMs, retryDelay(this.#attempts, this.#options));
    await new Promise<void>((resolve) => {
      const cancel = clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }

  wake(): void {
    this.#wake?.();
  }
}
