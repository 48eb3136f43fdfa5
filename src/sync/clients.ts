/**
 * When to forget the clients that session affinity remembers for what is gone: after a sync, but
 * not again and again, since looking through a map takes time by the number of its clients.
 */
import type { Backend } from "../backend/backend.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { AFFINITY_REST_FACTOR, AFFINITY_REST_MS } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { TellProblems } from "../problems/problem.ts";

export interface RememberedClientsOptions {
  readonly core: Core;
  readonly backend: Backend;
  readonly clock: Clock;
  readonly problems: TellProblems;
  /** They could not be forgotten. Default: nobody counts it. */
  readonly cleanupFailed?: () => void;
  /** What had to wait is due. */
  readonly wake: () => void;
}

const ABOUT = { subject: "Affinity", code: "NETLINK_REFUSED", field: "" } as const;

export class RememberedClients {
  readonly #options: RememberedClientsOptions;
  /** When they may be looked through again, and whether a timer waits for that. */
  #again = Number.NEGATIVE_INFINITY;
  #due = false;
  #failing = false;

  constructor(options: RememberedClientsOptions) {
    this.#options = options;
  }

  /**
   * After the commit: nothing can be learned for what is gone by now. True if it is done, or will
   * be without being asked for.
   */
  forget(): boolean {
    const { core, clock, problems, cleanupFailed } = this.#options;
    const { affinity } = this.#options.backend;
    if (affinity === undefined || !affinity.stale || this.#later()) return true;
    const started = clock.monotonic();
    try {
      affinity.purge(core);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#failing = true;
      problems([{ begin: { ...ABOUT, message: thrown.message } }]);
      cleanupFailed?.();
      return false;
    }
    if (this.#failing) problems([{ end: ABOUT }]);
    this.#failing = false;
    const ended = clock.monotonic();
    const rest = Math.max(AFFINITY_REST_MS, (ended - started) * AFFINITY_REST_FACTOR);
    this.#again = ended + rest;
    return true;
  }

  /** Is it too soon to do it again? Then the loop is woken in time. */
  #later(): boolean {
    const { clock, wake } = this.#options;
    const wait = this.#again - clock.monotonic();
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
