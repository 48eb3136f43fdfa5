/** Which Services have a healthCheckNodePort here, and how many of their endpoints are on this node. */
import type { Service, ServiceId } from "../model/service.ts";

/** What a load balancer is told about one Service. `port` is its healthCheckNodePort. */
export interface HealthCheck {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  /** Distinct addresses of Ready endpoints on this node, all ports of the Service together. */
  readonly localEndpoints: number;
}

/** What selection found, kept back until it is in the kernel: a load balancer must not send clients too early. */
export class HealthChecks {
  readonly #checks = new Map<ServiceId, HealthCheck>();
  #published: readonly HealthCheck[] = [];
  #listener: (checks: readonly HealthCheck[]) => void = () => {};

  /** A Service was selected. It is seen from outside at the next `publish`. */
  update(id: ServiceId, service: Service | undefined, localEndpoints: number): void {
    const port = service?.healthCheckNodePort ?? 0;
    if (service?.type !== "LoadBalancer" || !service.externalLocal || port === 0) {
      this.#checks.delete(id);
      return;
    }
    const { namespace, name } = service;
    this.#checks.set(id, { port, namespace, name, localEndpoints });
  }

  /** What was selected is in the kernel. */
  publish(): void {
    this.#published = [...this.#checks.values()];
    this.#listener(this.#published);
  }

  /** Hears of each `publish`, and at once of the last one. There is one listener. */
  listen(listener: (checks: readonly HealthCheck[]) => void): void {
    this.#listener = listener;
    listener(this.#published);
  }
}
