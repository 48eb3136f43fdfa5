/**
 * When to sync. A lone change runs at once; while a sync runs, or the interval after it has not passed,
 * requests melt into one. So the work that waits is never more than one sync, however slow the kernel is.
 */
import type { Clock } from "../base/clock.ts";
import { retryDelay } from "../base/retry-delay.ts";

/** What the configuration says of pace, in ms. */
export interface Pace {
  /** kube-proxy's minSyncPeriod: least time from the end of one run to the start of the next. */
  readonly minIntervalMs: number;
  /** Longest wait of a retry. */
  readonly retryMsMax: number;
}

export interface PacerOptions extends Pace {
  readonly clock: Clock;
  /**
   * After a run that took t ms, the next waits for t ms too, up to this many: a burst of changes is
   * coalesced in proportion to what a run costs, and half of the time stays free for everything else.
   */
  readonly restMsMax: number;
  /** First wait after a failed run; doubles with each further failure up to `retryMsMax`. */
  readonly retryMs: number;
  /** One run; true if everything that was asked for is done. Must not throw. */
  readonly run: () => Promise<boolean>;
}

export class Pacer {
  readonly #options: PacerOptions;
  #pace: Pace;
  #state: "idle" | "scheduled" | "running" | "stopped" = "idle";
  #requestedWhileRunning = false;
  #earliest = 0;
  #failures = 0;
  #cancel: () => void = () => {};

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#pace = options;
  }

  /** Another pace from the next run on. */
  configure(pace: Pace): void {
    this.#pace = pace;
  }

  /** Something changed. Cheap; call it for every event. */
  request(): void {
    if (this.#state === "running") this.#requestedWhileRunning = true;
    else if (this.#state === "idle") this.#schedule();
  }

  /** Lets no further run begin. A run under way ends by itself. */
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
    if (wait > 0) this.#cancel = clock.after(wait, begin);
    else clock.soon(begin);
  }

  async #run(): Promise<void> {
    const { clock, restMsMax, retryMs, run } = this.#options;
    this.#state = "running";
    this.#requestedWhileRunning = false;
    const started = clock.monotonic();
    const done = await run();
    if (this.#stopped()) return;
    const ended = clock.monotonic();
    const { minIntervalMs, retryMsMax } = this.#pace;
    const rest = Math.max(minIntervalMs, Math.min(ended - started, restMsMax));
    this.#failures = done ? 0 : this.#failures + 1;
    const retry = done ? 0 : retryDelay(this.#failures, { firstMs: retryMs, maxMs: retryMsMax });
    this.#earliest = ended + Math.max(rest, retry);
    this.#state = "idle";
    if (!done || this.#requestedWhileRunning) this.#schedule();
  }

  // The state may change while a run is awaited; read it afresh rather than as the compiler narrowed it.
  #stopped(): boolean {
    return this.#state === "stopped";
  }
}
