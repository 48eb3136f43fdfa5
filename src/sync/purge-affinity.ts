/**
 * When to purge the clients that session affinity remembers for frontends and endpoints that are
 * gone: after a sync, but with a rest in between, because a purge takes time by the number of
 * clients.
 */
import type { AffinityCleanup } from "../backend/parts.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { AFFINITY_REST_FACTOR, AFFINITY_REST_MS } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";

export interface AffinityPurgerOptions {
  readonly core: Core;
  /** Undefined: there is never anything to purge. */
  readonly affinity: AffinityCleanup | undefined;
  readonly clock: Clock;
  readonly problems: TellProblems;
  /** A purge failed. Default: nobody counts it. */
  readonly cleanupFailed?: () => void;
  /** A purge that had to wait is due. */
  readonly wake: () => void;
}

const ABOUT = { subject: "Affinity", code: "NETLINK_REFUSED", field: "" } as const;

export class AffinityPurger {
  readonly #options: AffinityPurgerOptions;
  /** When the next purge may begin, monotonic ms, and whether a timer waits for that. */
  #next = Number.NEGATIVE_INFINITY;
  #due = false;
  readonly #problems: ProblemSet;

  constructor(options: AffinityPurgerOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /**
   * To be called after a commit: by then the kernel learns no more clients for what is gone. Returns
   * true if nothing is left to do, or if a timer will wake the loop for it.
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

  /** Returns true if it is too soon for another purge. The loop is then woken in time. */
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
