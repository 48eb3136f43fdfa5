/**
 * Tracks whether the kernel holds the state of the API, by the rule of kube-proxy
 * (pkg/proxy/healthcheck/proxy_health.go). The proxy is healthy while no change waits, however old
 * the last sync. It is unhealthy once a change has waited for twice the sync period. One point is
 * stricter: before the first commit the proxy is unhealthy, because no Service works yet. The
 * connection to the API server does not count, because a restart would not help. If another
 * program's table replaced the rules, no Service works, so the proxy is soon unhealthy.
 */
import { RULES_MISSING_MS } from "../base/limits.ts";

/** The health at one moment. */
export interface Health {
  readonly healthy: boolean;
  /** Time of the last commit, ms since the epoch; undefined before the first. */
  readonly lastUpdated: number | undefined;
  /** Arrival of the oldest waiting change, ms since the epoch; undefined if none waits. */
  readonly queuedSince: number | undefined;
}

/** Times are milliseconds since the epoch and always passed in. */
export class ProxyHealth {
  #timeoutMs: number;
  #lastUpdated: number | undefined;
  #queuedSince: number | undefined;
  #missingSince: number | undefined;

  /** `syncPeriodMs` is the configured syncPeriod. A change may wait for twice as long. */
  constructor(syncPeriodMs: number) {
    this.#timeoutMs = 2 * syncPeriodMs;
  }

  /** Applies another syncPeriod at run time. */
  configure(syncPeriodMs: number): void {
    this.#timeoutMs = 2 * syncPeriodMs;
  }

  /** Reports a change that is not in the kernel yet. */
  queued(now: number): void {
    this.#queuedSince ??= now;
  }

  /** Reports that the kernel does not hold the rules and that Sluice cannot write them. */
  rulesMissing(now: number): void {
    this.#missingSince ??= now;
  }

  /**
   * Reports a complete sync. `queuedSince` is the arrival of the oldest change that it did not
   * cover.
   */
  committed(now: number, queuedSince?: number): void {
    this.#lastUpdated = now;
    this.#queuedSince = queuedSince;
    this.#missingSince = undefined;
  }

  /**
   * Returns the health at `now`. It is never cached, because time alone can make it bad.
   */
  at(now: number): Health {
    const lastUpdated = this.#lastUpdated;
    const queuedSince = this.#queuedSince;
    // A clock that was set back makes the wait negative, which does not count as unhealthy.
    const within = (ms: number, since = now) => now - since < ms;
    const inTime =
      within(this.#timeoutMs, queuedSince) && within(RULES_MISSING_MS, this.#missingSince);
    return { healthy: lastUpdated !== undefined && inTime, lastUpdated, queuedSince };
  }
}
