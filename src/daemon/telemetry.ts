/** Creates everything that observes the running proxy, and passes the proxy's events to it. */
import { type Clock, roundMs } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import type { Core } from "../core/core.ts";
import { ConnectionCounters } from "../observe/connections.ts";
import { FullFrontends } from "../observe/full-frontends.ts";
import { Metrics } from "../observe/metrics.ts";
import { NoLocalEndpoints } from "../observe/no-local-endpoints-metric.ts";
import { ProxyHealth } from "../observe/proxy-health.ts";
import { ServiceHealth } from "../observe/service-health.ts";
import type { LastSync } from "../observe/view.ts";
import type { Problem, ReportProblems } from "../problems/problem.ts";
import { ProblemRegistry } from "../problems/problem-registry.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { SyncReport } from "../sync/loop.ts";
import { RepairLog } from "../sync/repair-log.ts";

export interface TelemetryOptions {
  readonly config: Config;
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Telemetry {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly problems: ProblemRegistry;
  readonly reportProblems: ReportProblems = (events) => this.problems.report(events);
  readonly health: ProxyHealth;
  readonly serviceHealth = new ServiceHealth();
  readonly noLocalEndpoints = new NoLocalEndpoints();
  readonly metrics: Metrics;
  readonly connections: ConnectionCounters;
  readonly fullFrontends: FullFrontends;
  readonly #core: Core;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #repairLog: RepairLog;
  /** The reason why no sync works, if it is another program's doing. */
  readonly #syncProblems = new ProblemSet((events) => this.problems.report(events));
  /** Time of the oldest change that the running sync does not cover, ms since the epoch. */
  #queuedWhileRunning: number | undefined;
  #lastSync: LastSync | undefined;
  #serving = false;
  #failing = false;

  constructor(options: TelemetryOptions) {
    const { config, core, clock } = options;
    const log = options.log.from("telemetry.ts");
    this.#core = core;
    this.#clock = clock;
    this.#log = log;
    this.#repairLog = new RepairLog(clock, log);
    this.startedAt = clock.now();
    this.problems = new ProblemRegistry(
      (problem) => logProblem(log, problem),
      ({ subject, code, field }) =>
        log.info("Problem resolved", { code, subject, ...(field !== "" && { field }) }),
    );
    this.health = new ProxyHealth(config.syncPeriodMs);
    this.metrics = new Metrics(this.startedAt);
    this.connections = new ConnectionCounters(core, config.endpointMetricsLimit, (error) =>
      log.warn("Could not read the connection counters; connection metrics are stale", {
        err: messageOf(error),
      }),
    );
    this.fullFrontends = new FullFrontends({
      core,
      clock,
      problems: this.reportProblems,
      failed: (error) =>
        log.warn("Could not read which Services cannot remember clients; retrying", {
          err: messageOf(error),
        }),
    });
  }

  get lastSync(): LastSync | undefined {
    return this.#lastSync;
  }

  /** Applies another configuration at run time. */
  configure({ syncPeriodMs, endpointMetricsLimit }: Config): void {
    this.health.configure(syncPeriodMs);
    this.connections.configure(endpointMetricsLimit);
  }

  /** Reports a change that is not in the kernel yet. */
  queued(): void {
    const now = this.#clock.now();
    this.health.queued(now);
    this.metrics.queued(now);
    this.metrics.changedTo(this.#core.changeCounts());
    this.#queuedWhileRunning ??= now;
  }

  /** Reports that a sync begins. It may not cover changes that are queued from now on. */
  syncing(): void {
    this.#queuedWhileRunning = undefined;
  }

  /** Reports that a sync ended. Returns false if it failed. */
  synced(report: SyncReport): boolean {
    const now = this.#clock.now();
    this.metrics.synced(report, now);
    if (report.outcome !== "nothing") this.#lastSync = { at: now, report };
    if (report.outcome === "failed") {
      const { error } = report;
      if (error?.code === "TABLE_FOREIGN") {
        this.health.rulesMissing(now);
        const { code, subject = "", message } = error;
        this.#syncProblems.set([{ code, subject, field: "", message }]);
      }
      const message = "Sync failed; leaving the rules in place and retrying";
      if (!this.#failing) this.#log.error(message, error);
      this.#failing = true;
      return false;
    }
    this.#syncProblems.set([]);
    if (report.repair !== undefined) this.#repairLog.repaired(report.repair);
    if (this.#failing) this.#log.info("Sync recovered");
    this.#failing = false;
    this.health.committed(now, this.#queuedWhileRunning);
    this.serviceHealth.publish();
    if (!this.#serving) {
      const sinceStartMs = Math.round(now - this.startedAt);
      this.#log.info("Serving", { services: this.#core.serviceCount(), sinceStartMs });
    }
    this.#serving = true;
    if (report.outcome === "nothing") return true;
    this.#log.debug(2, "Synced", {
      outcome: report.outcome,
      owners: report.owners,
      operations: report.operations,
      transactions: report.transactions,
      kernelMs: roundMs(report.kernelMs),
      durationMs: roundMs(report.durationMs),
    });
    return true;
  }
}

/** Logs a problem that began or has a new message. */
export function logProblem(log: Logger, { subject, code, field, message }: Problem): void {
  log.warn("Problem found", { err: message, code, subject, ...(field !== "" && { field }) });
}
