/**
 * Is what the API says in the kernel? Upstream's rule (pkg/proxy/healthcheck/proxy_health.go): healthy while
 * nothing waits, however old the last sync; unhealthy once a change has waited for twice the sync period.
 * Stricter in one point: before the first commit nothing is healthy, because no Service works yet.
 * Whether the API server answers is not asked: restarting the proxy would not bring it back.
 */

/** The answer at one moment. */
export interface Health {
  readonly healthy: boolean;
  /** Last commit, ms since the epoch; undefined before the first. */
  readonly lastUpdated: number | undefined;
  /** Since when the oldest change has waited, ms since the epoch; undefined when none waits. */
  readonly queuedSince: number | undefined;
}

/** Times are milliseconds since the epoch, and always passed in. */
export class HealthTracker {
  #patienceMs: number;
  #lastUpdated: number | undefined;
  #queuedSince: number | undefined;

  /** `syncPeriodMs`: syncPeriod of the configuration; a change may wait for twice as long. */
  constructor(syncPeriodMs: number) {
    this.#patienceMs = 2 * syncPeriodMs;
  }

  /** Another syncPeriod, while the proxy runs. */
  configure(syncPeriodMs: number): void {
    this.#patienceMs = 2 * syncPeriodMs;
  }

  /** A change arrived that is not in the kernel. */
  queued(now: number): void {
    this.#queuedSince ??= now;
  }

  /** A sync is complete. `queuedSince`: when the oldest change that it did not cover arrived. */
  committed(now: number, queuedSince?: number): void {
    this.#lastUpdated = now;
    this.#queuedSince = queuedSince;
  }

  /** Health at `now`: it can turn bad by time alone, so it is never kept. */
  at(now: number): Health {
    const lastUpdated = this.#lastUpdated;
    const queuedSince = this.#queuedSince;
    // A clock set back makes the wait negative, which is not a reason to be unhealthy.
    const inTime = queuedSince === undefined || now - queuedSince < this.#patienceMs;
    return { healthy: lastUpdated !== undefined && inTime, lastUpdated, queuedSince };
  }
}
