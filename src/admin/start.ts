/**
 * Puts the two HTTP servers and the healthCheckNodePorts on the air. Imported only once the rules are in the
 * kernel (or take their time), because what it loads costs a tenth of a second and some megabytes.
 */

import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { parseListenAddress } from "../net/address.ts";
import type { HealthChecks } from "../observe/health-checks.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ReadOnlyView } from "../observe/view.ts";
import type { TellProblems } from "../types.ts";
import { createAdminApp } from "./admin-app.ts";
import { createHealthApp } from "./health-app.ts";
import { HealthCheckNodePorts } from "./health-check-node-ports.ts";
import { type Listener, listen } from "./serve.ts";

export interface AdminOptions {
  readonly view: ReadOnlyView;
  readonly metrics: Metrics;
  readonly healthChecks: HealthChecks;
  /** Addresses that healthCheckNodePorts listen on. */
  readonly nodePortAddresses: () => readonly string[];
  readonly problems: TellProblems;
  readonly clock: Clock;
  readonly log: Logger;
  /** bindAddressHardFail: an address that cannot be bound ends the process. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * Listens where the configuration says and follows the healthCheckNodePorts. Never throws: an address that
 * cannot be bound is tried again, or told to `onFatal` with bindAddressHardFail. `close` resolves when nothing
 * listens any more.
 */
export function startAdmin(options: AdminOptions): { close(): Promise<void> } {
  const { view, clock, metrics, healthChecks } = options;
  const config = view.config();
  const log = options.log.from("admin");
  const onError = (error: unknown) => log.error("Could not answer a request", error);
  const health = createHealthApp(view, (probe, code) => metrics.answered(probe, code), onError);
  const admin = createAdminApp(view, onError);
  const fatal = config.bindAddressHardFail ? { onFatal: options.onFatal } : {};
  const listeners: Listener[] = [];
  for (const [name, address, app] of [
    ["health", config.healthzBindAddress, health],
    ["metrics", config.metricsBindAddress, admin],
  ] as const) {
    // The configuration has validated it; "" turns the server off.
    const where = parseListenAddress(address);
    const { fetch } = app;
    if (where) listeners.push(listen({ name, ...where, fetch, clock, log, ...fatal }));
  }
  const nodePorts = new HealthCheckNodePorts({
    addresses: options.nodePortAddresses,
    healthy: () => view.health().healthy,
    problems: options.problems,
  });
  healthChecks.listen((checks) => nodePorts.update(checks));
  return {
    async close() {
      healthChecks.listen(() => {});
      nodePorts.close();
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}
