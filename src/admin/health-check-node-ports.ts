/**
 * Serves healthCheckNodePorts (in kube-proxy: pkg/proxy/healthcheck). Each load balancer Service
 * with externalTrafficPolicy Local has such a port. The load balancer probes it to learn whether
 * this node has endpoints of the Service.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf, withHint } from "../base/errors.ts";
import type { HealthCheck } from "../observe/service-health.ts";
import type { Problem, ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { bindServer, LISTEN_RETRY_MS, RETRY_HINT } from "./serve.ts";

export interface HealthCheckNodePortsOptions {
  /**
   * Returns the addresses to listen on, called at each update. "::" also accepts IPv4, and becomes
   * 0.0.0.0 on a node without IPv6.
   */
  readonly addresses: () => readonly string[];
  /**
   * Reports whether the proxy itself is healthy, like /livez. Node eligibility does not matter
   * here.
   */
  readonly healthy: () => boolean;
  readonly clock: Clock;
  /** Receives problems with ports that cannot be bound, and their end. */
  readonly problems: ReportProblems;
  /** Called at each failed attempt to bind a port. */
  readonly onFailed: (check: HealthCheck, error: unknown) => void;
}

interface OpenPort {
  check: HealthCheck;
  readonly addresses: string;
  readonly servers: readonly { stop(force: boolean): unknown }[];
}

/**
 * Runs one HTTP server per port and address. A port that is in use is reported as a problem of its
 * Service; nothing here throws.
 */
export class HealthCheckNodePorts {
  readonly #options: HealthCheckNodePortsOptions;
  readonly #open = new Map<number, OpenPort>();
  readonly #problems: ProblemSet;
  #cancelRetry = () => {};

  constructor(options: HealthCheckNodePortsOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /**
   * Opens new ports and closes old ones after a sync. Ports that cannot be bound are retried at
   * each sync and by a timer, because a quiet cluster has no syncs.
   */
  update(checks: readonly HealthCheck[]): void {
    this.#cancelRetry();
    const addresses = this.#options.addresses();
    const wanted = new Map<number, HealthCheck>();
    // The API server assigns a port to only one Service. If two had the same, the first one would
    // keep it.
    for (const check of checks) if (!wanted.has(check.port)) wanted.set(check.port, check);
    for (const [port, open] of this.#open) {
      if (wanted.has(port) && open.addresses === addresses.join()) continue;
      this.#open.delete(port);
      for (const server of open.servers) server.stop(true);
    }
    const failures: { readonly check: HealthCheck; readonly error: unknown }[] = [];
    for (const check of wanted.values()) {
      const open = this.#open.get(check.port);
      if (open) {
        open.check = check;
        continue;
      }
      try {
        this.#listen(check, addresses);
      } catch (error) {
        failures.push({ check, error });
      }
    }
    this.#problems.set(failures.map(({ check, error }) => bindProblem(check, error)));
    for (const { check, error } of failures) this.#options.onFailed(check, error);
    if (failures.length === 0) return;
    this.#cancelRetry = this.#options.clock.after(LISTEN_RETRY_MS, () => this.update(checks));
  }

  /** Stops every server at once, aborts open requests, and ends the problems. */
  close(): void {
    this.update([]);
  }

  /** @throws SluiceError LISTEN_FAILED if one address cannot be bound. It then serves on none. */
  #listen(check: HealthCheck, addresses: readonly string[]): void {
    const servers: Bun.Server<undefined>[] = [];
    const fetch = () => this.#answer(check.port);
    try {
      for (const address of addresses) servers.push(bindAny(address, check.port, fetch));
    } catch (error) {
      for (const server of servers) server.stop(true);
      throw error;
    }
    this.#open.set(check.port, { check, addresses: addresses.join(), servers });
  }

  /** Answers any path and method. As in kube-proxy, byte for byte. */
  #answer(port: number): Response {
    const check = this.#open.get(port)?.check;
    const localEndpoints = check?.localEndpoints ?? 0;
    const serviceProxyHealthy = this.#options.healthy();
    const service = { namespace: check?.namespace ?? "", name: check?.name ?? "" };
    return new Response(
      JSON.stringify({ service, localEndpoints, serviceProxyHealthy }, undefined, "\t"),
      {
        status: localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
        headers: {
          "Content-Type": "application/json",
          "X-Content-Type-Options": "nosniff",
          "X-Load-Balancing-Endpoint-Weight": String(localEndpoints),
        },
      },
    );
  }
}

function bindProblem({ namespace, name }: HealthCheck, error: unknown): Problem {
  return {
    code: "LISTEN_FAILED",
    field: "spec.healthCheckNodePort",
    subject: `Service ${namespace}/${name}`,
    message: withHint(messageOf(error), RETRY_HINT),
  };
}

function bindAny(address: string, port: number, fetch: () => Response): Bun.Server<undefined> {
  try {
    return bindServer(address, port, fetch);
  } catch (error) {
    if (address !== "::") throw error;
    return bindServer("0.0.0.0", port, fetch);
  }
}
