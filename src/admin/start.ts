/**
 * Puts the HTTP servers and the healthCheckNodePorts on the air. Imported only once the rules are in the
 * kernel (or take their time), because what it loads costs a tenth of a second and some megabytes.
 */

import type { Hono } from "hono";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { expose } from "../observe/exposition.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { HealthCheck, HealthChecks } from "../observe/service-health.ts";
import type { ReadOnlyView } from "../observe/view.ts";
import type { TellProblems } from "../problems/problem.ts";
import { createHealthApp } from "./health-app.ts";
import { HealthCheckNodePorts } from "./health-check-node-ports.ts";
import { Listeners, type ServerName } from "./listeners.ts";
import { createAdminApp, createMetricsApp } from "./metrics-app.ts";

export interface AdminOptions {
  /** Its configuration is asked at each request, and must be the new one when `update` is called. */
  readonly view: ReadOnlyView;
  readonly metrics: Metrics;
  readonly healthChecks: HealthChecks;
  /** Addresses that healthCheckNodePorts listen on. */
  readonly nodePortAddresses: () => readonly string[];
  readonly problems: TellProblems;
  readonly clock: Clock;
  readonly log: Logger;
  /** What ends the process: with bindAddressHardFail an address that cannot be bound; an assertion in the core. */
  readonly onFatal: (error: unknown) => void;
  /** An address cannot be bound: once until it can, and before `onFatal`. For Events; by default nobody hears. */
  readonly onBindFailed?: (server: ServerName, error: unknown) => void;
  /** A healthCheckNodePort cannot be bound: at each attempt. Likewise. */
  readonly onNodePortFailed?: (check: HealthCheck, error: unknown) => void;
  /** A request was answered: memory that only this needed may be given back. By default it is kept. */
  readonly onAnswered?: () => void;
  /** The level of the log, for /debug/flags/v. By default it stays as it is. */
  readonly setVerbosity?: (level: number) => void;
}

export interface RunningAdmin {
  /** Follows a new configuration: opens and closes what has another address, and nothing else. */
  update(config: Config): Promise<void>;
  /** Resolves when nothing listens any more. */
  close(): Promise<void>;
}

/**
 * Listens where the configuration says and follows the healthCheckNodePorts. Never throws: an address that
 * cannot be bound is tried again, or told to `onFatal` with bindAddressHardFail.
 */
export function startAdmin(options: AdminOptions): RunningAdmin {
  const { view, metrics, healthChecks, problems } = options;
  const log = options.log.from("start.ts");
  const onError = (error: unknown) => {
    log.error("Could not answer a request", error);
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
  healthChecks.listen((checks) => nodePorts.update(checks));
  return {
    update: (config) => listeners.update(config),
    async close() {
      healthChecks.listen(() => {});
      nodePorts.close();
      await listeners.close();
    },
  };
}
