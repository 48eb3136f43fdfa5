/**
 * Decides when to sync. One request runs at once. Requests that arrive during a sync, or in the
 * interval after it, are merged into one. However slow the kernel is, at most one sync is waiting.
 */
import type { Clock } from "../base/clock.ts";
import { retryDelay } from "../base/retry-delay.ts";

/** The configured sync intervals, in ms. */
export interface SyncIntervals {
  /**
   * kube-proxy's minSyncPeriod: the minimum time from the end of one run to the start of the next.
   */
  readonly minIntervalMs: number;
  /** The longest wait before a retry. */
  readonly retryMsMax: number;
}

export interface PacerOptions extends SyncIntervals {
  readonly clock: Clock;
  /**
   * Upper limit of the rest after a run, in ms. A run of t ms is followed by a rest of t ms. This
   * merges bursts in proportion to the cost of a run, and leaves half of the time to other work.
   */
  readonly cooldownMsMax: number;
  /**
   * The wait after the first failed run. It doubles with each further failure, up to `retryMsMax`.
   */
  readonly retryMs: number;
  /** Performs one run. Returns true if all requested work is done. Must not throw. */
  readonly run: () => Promise<boolean>;
}

export class Pacer {
  readonly #options: PacerOptions;
  #pace: SyncIntervals;
  #state: "idle" | "scheduled" | "running" | "stopped" = "idle";
  #requestedWhileRunning = false;
  #hurriedWhileRunning = false;
  #earliest = 0;
  /** When the rest after the last run ends. */
  #rested = 0;
  #failures = 0;
  #cancel: () => void = () => {};

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#pace = options;
  }

  /** Sets new intervals. They apply when the next run ends. */
  configure(pace: SyncIntervals): void {
    this.#pace = pace;
  }

  /** Reports a change. It is cheap: call it for every event. */
  request(): void {
    if (this.#state === "running") this.#requestedWhileRunning = true;
    else if (this.#state === "idle") this.#schedule();
  }

  /**
   * Like `request`, but ends the wait before a retry: there is reason to believe that it works now.
   */
  hurry(): void {
    this.#hurriedWhileRunning = this.#state === "running";
    this.#earliest = Math.min(this.#earliest, this.#rested);
    if (this.#state === "scheduled") {
      this.#cancel();
      this.#state = "idle";
    }
    this.request();
  }

  /** Starts no further run. A run in progress finishes on its own. */
  stop(): void {
    this.#state = "stopped";
    this.#cancel();
  }

  #schedule(): void {
    const { clock } = this.#options;
    this.#state = "scheduled";
    const wait = this.#earliest - clock.monotonic();
    const begin = () => {
      if (this.#state === "scheduled") void this.#run();
    };
    this.#cancel = () => {};
    if (wait > 0) this.#cancel = clock.after(wait, begin);
    else clock.soon(begin);
  }

  async #run(): Promise<void> {
    const { clock, cooldownMsMax, retryMs, run } = this.#options;
    this.#state = "running";
    this.#requestedWhileRunning = false;
    this.#hurriedWhileRunning = false;
    const started = clock.monotonic();
    const done = await run();
    if (this.#stopped()) return;
    const ended = clock.monotonic();
    const { minIntervalMs, retryMsMax } = this.#pace;
    const rest = Math.max(minIntervalMs, Math.min(ended - started, cooldownMsMax));
    this.#failures = done ? 0 : this.#failures + 1;
    const retry = done ? 0 : retryDelay(this.#failures, { firstMs: retryMs, maxMs: retryMsMax });
    this.#rested = ended + rest;
    this.#earliest = this.#hurriedWhileRunning ? this.#rested : ended + Math.max(rest, retry);
    this.#state = "idle";
    if (!done || this.#requestedWhileRunning) this.#schedule();
  }

  // A method, because the compiler would keep its narrowed `#state` across the awaited run.
  #stopped(): boolean {
    return this.#state === "stopped";
  }
}
