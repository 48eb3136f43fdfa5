/** Waits between attempts: doubling, with jitter so that the nodes of a cluster do not come back together. */
import type { Clock } from "../base/clock.ts";

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
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

  /** Waits for the next step's time, or `atLeastMs` if that is longer, or until `wake`. */
  async wait(atLeastMs = 0): Promise<void> {
    const { firstMs, maxMs, clock, random } = this.#options;
    const step = Math.min(maxMs, firstMs * 2 ** this.#attempts);
    this.#attempts += 1;
    const ms = Math.max(atLeastMs, Math.min(maxMs, step * (1 + random())));
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
