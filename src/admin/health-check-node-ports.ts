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
import { ClientConnections } from "./client-connections.ts";
import { bindServer, type HttpServer } from "./http-server.ts";
import { LISTEN_RETRY_MS, RETRY_HINT } from "./serve.ts";

export interface HealthCheckNodePortsOptions {
  /** Returns the addresses to listen on, called at each update. "::" also accepts IPv4. */
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
  readonly servers: readonly HttpServer[];
}

/**
 * Runs one HTTP server per port and address. A port that is in use is reported as a problem of its
 * Service; nothing here throws.
 */
export class HealthCheckNodePorts {
  readonly #options: HealthCheckNodePortsOptions;
  readonly #open = new Map<number, OpenPort>();
  readonly #problems: ProblemSet;
  /** The connections to all ports. */
  readonly #connections: ClientConnections;
  #cancelRetry = () => {};
  /** The latest checks, until an update takes them. */
  #next: readonly HealthCheck[] | undefined;
  #updating: Promise<void> = Promise.resolve();

  constructor(options: HealthCheckNodePortsOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
    this.#connections = new ClientConnections(options.clock);
  }

  /**
   * Opens new ports and closes old ones after a sync. Ports that cannot be bound are retried at
   * each sync and by a timer, because a quiet cluster has no syncs. Updates run one at a time; each
   * takes the latest checks.
   */
  update(checks: readonly HealthCheck[]): Promise<void> {
    this.#next = checks;
    this.#updating = this.#updating.then(async () => {
      const next = this.#next;
      this.#next = undefined;
      if (next !== undefined) await this.#apply(next);
    });
    return this.#updating;
  }

  /** Stops every server, aborts open requests, and ends the problems. */
  close(): Promise<void> {
    return this.update([]);
  }

  async #apply(checks: readonly HealthCheck[]): Promise<void> {
    this.#cancelRetry();
    const addresses = this.#options.addresses();
    const wanted = new Map<number, HealthCheck>();
    // The API server assigns a port to only one Service. If two had the same, the first one would
    // keep it.
    for (const check of checks) if (!wanted.has(check.port)) wanted.set(check.port, check);
    await this.#closeAllBut(wanted, addresses);
    const failures: { readonly check: HealthCheck; readonly error: unknown }[] = [];
    for (const check of wanted.values()) {
      const open = this.#open.get(check.port);
      if (open) {
        open.check = check;
        continue;
      }
      try {
        await this.#listen(check, addresses);
      } catch (error) {
        failures.push({ check, error });
      }
    }
    this.#problems.set(failures.map(({ check, error }) => bindProblem(check, error)));
    for (const { check, error } of failures) this.#options.onFailed(check, error);
    if (failures.length === 0) return;
    this.#cancelRetry = this.#options.clock.after(LISTEN_RETRY_MS, () => void this.update(checks));
  }

  async #closeAllBut(
    wanted: ReadonlyMap<number, HealthCheck>,
    addresses: readonly string[],
  ): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const [port, open] of this.#open) {
      if (wanted.has(port) && open.addresses === addresses.join()) continue;
      this.#open.delete(port);
      closing.push(...open.servers.map((server) => server.close()));
    }
    await Promise.all(closing);
  }

  /** @throws SluiceError LISTEN_FAILED if one address cannot be bound. It then serves on none. */
  async #listen(check: HealthCheck, addresses: readonly string[]): Promise<void> {
    const servers: HttpServer[] = [];
    const answer = () => this.#answer(check.port);
    try {
      for (const address of addresses) {
        servers.push(await bindServer(address, check.port, answer, this.#connections));
      }
    } catch (error) {
      await Promise.all(servers.map((server) => server.close()));
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
