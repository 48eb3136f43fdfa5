/**
 * Starts the HTTP servers and the healthCheckNodePorts. It is imported only when the rules are in
 * the kernel or delayed, because loading it costs 100 ms and several megabytes.
 */

import type { Hono } from "hono";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { expose } from "../observe/exposition.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { HealthCheck, ServiceHealth } from "../observe/service-health.ts";
import type { ProxyView } from "../observe/view.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { createHealthApp } from "./health-app.ts";
import { HealthCheckNodePorts } from "./health-check-node-ports.ts";
import { Listeners, type ServerName } from "./listeners.ts";
import { createAdminApp, createMetricsApp } from "./metrics-app.ts";

export interface AdminOptions {
  /** Its configuration is read at each request, and must be the new one when `update` is called. */
  readonly view: ProxyView;
  readonly metrics: Metrics;
  readonly serviceHealth: ServiceHealth;
  /** Returns the addresses for healthCheckNodePorts. */
  readonly nodePortAddresses: () => readonly string[];
  readonly problems: ReportProblems;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Ends the process: after a failed bind with bindAddressHardFail, or a failed assertion in the
   * core.
   */
  readonly onFatal: (error: unknown) => void;
  /**
   * Called once when an address cannot be bound, before `onFatal`. Meant for Events. Ignored by
   * default.
   */
  readonly onBindFailed?: (server: ServerName, error: unknown) => void;
  /** Called at each failed attempt to bind a healthCheckNodePort. Ignored by default. */
  readonly onNodePortFailed?: (check: HealthCheck, error: unknown) => void;
  /**
   * Called after an answered request, so that memory needed only for it can be freed. Default: keep
   * it.
   */
  readonly onAnswered?: () => void;
  /** Sets the log level, for /debug/flags/v. By default the level stays. */
  readonly setVerbosity?: (level: number) => void;
}

export interface RunningAdmin {
  /** Resolves after the first attempt to bind each address. */
  readonly attempted: Promise<void>;
  /** Applies another configuration. Only servers with a changed address are closed and opened. */
  update(config: Config): Promise<void>;
  /** Resolves when all servers have stopped listening. */
  close(): Promise<void>;
}

/**
 * Listens on the configured addresses and follows the healthCheckNodePorts. Never throws. If an
 * address cannot be bound, it is retried, or with bindAddressHardFail reported to `onFatal`.
 */
export function startAdmin(options: AdminOptions): RunningAdmin {
  const { view, metrics, serviceHealth, problems } = options;
  const log = options.log.from("start.ts");
  const onError = (error: unknown) => {
    log.error("Failed to answer a request", error);
    if (error instanceof SluiceError && error.code === "CORE_ABORT") options.onFatal(error);
  };
  const health = createHealthApp(view, (probe, code) => metrics.answered(probe, code), onError);
  const app = createMetricsApp({
    view,
    slis: metrics.slis,
    exposeSlis: () => expose(metrics.slis.instruments()),
    setVerbosity: options.setVerbosity ?? (() => {}),
    onError,
  });
  const admin = createAdminApp(view, onError);
  const answering =
    ({ fetch }: Pick<Hono, "fetch">) =>
    async (request: Request) => {
      const response = await fetch(request);
      options.onAnswered?.();
      return response;
    };
  const listeners = new Listeners(view.config(), {
    fetch: { health: answering(health), metrics: answering(app), admin: answering(admin) },
    onFailed(name, error) {
      options.onBindFailed?.(name, error);
      const { bindAddressHardFail } = view.config();
      if (bindAddressHardFail) options.onFatal(error);
      return bindAddressHardFail;
    },
    clock: options.clock,
    log,
    problems,
  });
  const nodePorts = new HealthCheckNodePorts({
    addresses: options.nodePortAddresses,
    healthy: () => view.health().healthy,
    problems,
    clock: options.clock,
    onFailed: options.onNodePortFailed ?? (() => {}),
  });
  serviceHealth.listen((checks) => void nodePorts.update(checks));
  return {
    attempted: listeners.attempted(),
    update: (config) => listeners.update(config),
    async close() {
      serviceHealth.listen(() => {});
      await nodePorts.close();
      await listeners.close();
    },
  };
}
