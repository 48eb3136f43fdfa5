/**
 * healthCheckNodePort: for each load balancer Service with externalTrafficPolicy Local, a port on which the
 * load balancer asks whether this node has endpoints of it (upstream: pkg/proxy/healthcheck).
 */
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { HealthCheck } from "../observe/service-health.ts";
import type { Problem, TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { bind, RETRY_MS } from "./serve.ts";

export interface HealthCheckNodePortsOptions {
  /**
   * Addresses to listen on; "::" takes IPv4 too, and where there is no IPv6 it is 0.0.0.0. Asked at each
   * update.
   */
  readonly addresses: () => readonly string[];
  /** Is the proxy itself healthy? What /livez says: whether the node is eligible does not matter here. */
  readonly healthy: () => boolean;
  readonly clock: Clock;
  /** A port cannot be bound, or that is over. */
  readonly problems: TellProblems;
  /** A port cannot be bound; at each attempt. */
  readonly onFailed: (check: HealthCheck, error: unknown) => void;
}

interface Open {
  check: HealthCheck;
  readonly addresses: string;
  readonly servers: readonly { stop(force: boolean): unknown }[];
}

/** One HTTP server for each port and address. Nothing here throws: a port that is taken is a problem of its Service. */
export class HealthCheckNodePorts {
  readonly #options: HealthCheckNodePortsOptions;
  readonly #open = new Map<number, Open>();
  readonly #problems: ProblemSet;
  #cancelRetry = () => {};

  constructor(options: HealthCheckNodePortsOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /**
   * After each sync: opens what is new, closes what is gone. What cannot be bound is tried again at each sync, and
   * by itself, since a quiet cluster has none.
   */
  update(checks: readonly HealthCheck[]): void {
    this.#cancelRetry();
    const addresses = this.#options.addresses();
    const wanted = new Map<number, HealthCheck>();
    // The API server gives a port to one Service only; were it otherwise, the first one keeps it.
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
    this.#problems.set(failures.map(({ check, error }) => problemOf(check, error)));
    for (const { check, error } of failures) this.#options.onFailed(check, error);
    if (failures.length === 0) return;
    this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => this.update(checks));
  }

  /** Stops every server at once, open requests with it, and ends the problems. */
  close(): void {
    this.update([]);
  }

  /** @throws SluiceError LISTEN_FAILED if it cannot serve on all addresses: then it serves on none */
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

  /** Any path and method, and the body to the byte, as upstream. */
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

function problemOf({ namespace, name }: HealthCheck, error: unknown): Problem {
  return {
    subject: `Service ${namespace}/${name}`,
    code: "LISTEN_FAILED",
    field: "spec.healthCheckNodePort",
    message: messageOf(error),
  };
}

function bindAny(address: string, port: number, fetch: () => Response): Bun.Server<undefined> {
  try {
    return bind(address, port, fetch);
  } catch (error) {
    if (address !== "::") throw error;
    return bind("0.0.0.0", port, fetch);
  }
}
