/**
 * Decides when to purge session affinity entries of deleted frontends and endpoints. It purges
 * after a sync, but with a rest in between, because a purge takes time in proportion to the
 * clients.
 */
import type { AffinityCleanup } from "../backend/parts.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { AFFINITY_REST_FACTOR, AFFINITY_REST_MS } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";

export interface AffinityPurgerOptions {
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

export class AffinityPurger {
  readonly #options: AffinityPurgerOptions;
  /** The earliest start of the next purge (monotonic ms), and whether a timer is set for it. */
  #next = Number.NEGATIVE_INFINITY;
  #due = false;
  readonly #problems: ProblemSet;

  constructor(options: AffinityPurgerOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /**
   * Purges stale entries. Call it after a commit: from then on the kernel learns no clients for
   * deleted frontends. Returns true if nothing is left to do or a timer will wake the loop.
   */
  purge(): boolean {
    const { core, affinity, clock, cleanupFailed } = this.#options;
    if (affinity === undefined || !affinity.stale || this.#later()) return true;
    const started = clock.monotonic();
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
    const rest = Math.max(AFFINITY_REST_MS, (ended - started) * AFFINITY_REST_FACTOR);
    this.#next = ended + rest;
    return true;
  }

  /**
   * Returns true if it is too soon for another purge, and makes sure that a timer wakes the loop.
   */
  #later(): boolean {
    const { clock, wake } = this.#options;
    const wait = this.#next - clock.monotonic();
    if (wait <= 0) return false;
    if (!this.#due) {
      this.#due = true;
      clock.after(wait, () => {
        this.#due = false;
        wake();
      });
    }
    return true;
  }
}
