/**
 * Decides when to purge session affinity entries of deleted frontends and endpoints. It purges
 * after a sync, but with a rest in between, because a purge takes time in proportion to the
 * clients.
 */
import type { AffinityCleanup } from "../backend/parts.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { PURGE_COOLDOWN_FACTOR, PURGE_COOLDOWN_MS } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";

export interface PurgeTimingOptions {
  readonly core: Core;
  /** Undefined if the backend never has anything to purge. */
  readonly affinity: AffinityCleanup | undefined;
  readonly clock: Clock;
  readonly problems: ReportProblems;
  /** Called when a purge failed. By default the failure is not counted. */
  readonly cleanupFailed?: () => void;
  /** Called when a delayed purge is due. */
  readonly wake: () => void;
}

const ABOUT = { subject: "Affinity", code: "NETLINK_REFUSED", field: "" } as const;

export class PurgeTiming {
  readonly #options: PurgeTimingOptions;
  /** The earliest start of the next purge (monotonic ms), and whether a timer is set for it. */
  #earliest = Number.NEGATIVE_INFINITY;
  #timerSet = false;
  readonly #problems: ProblemSet;

  constructor(options: PurgeTimingOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /**
   * Purges stale entries. Call it after a commit. If some may be left, a timer wakes the loop for
   * another purge. Returns false if the purge failed.
   */
  purge(): boolean {
    const { core, affinity, clock, cleanupFailed } = this.#options;
    if (affinity === undefined || !affinity.hasStale) return true;
    const started = clock.monotonic();
    if (started < this.#earliest) {
      this.#wakeWhenDue();
      return true;
    }
    try {
      affinity.purge(core);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#problems.begin({ ...ABOUT, message: thrown.message });
      cleanupFailed?.();
      return false;
    }
    this.#problems.end(ABOUT);
    const ended = clock.monotonic();
    const rest = Math.max(PURGE_COOLDOWN_MS, (ended - started) * PURGE_COOLDOWN_FACTOR);
    this.#earliest = ended + rest;
    if (affinity.hasStale) this.#wakeWhenDue();
    return true;
  }

  /** Makes sure that a timer wakes the loop when the next purge may start. */
  #wakeWhenDue(): void {
    const { clock, wake } = this.#options;
    if (this.#timerSet) return;
    this.#timerSet = true;
    clock.after(this.#earliest - clock.monotonic(), () => {
      this.#timerSet = false;
      wake();
    });
  }
}
