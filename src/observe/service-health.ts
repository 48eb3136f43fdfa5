/**
 * Tracks the Services with a healthCheckNodePort and the number of their endpoints on this node.
 */
import type { Service, ServiceId } from "../model/service.ts";

/** The health of one Service for load balancers. `port` is its healthCheckNodePort. */
export interface HealthCheck {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  /** Distinct addresses of Ready endpoints on this node, over all ports of the Service. */
  readonly localEndpoints: number;
}

/**
 * Holds selected results back until they are in the kernel, so that load balancers do not send
 * clients too early.
 */
export class ServiceHealth {
  readonly #checks = new Map<ServiceId, HealthCheck>();
  #published: readonly HealthCheck[] = [];
  #listener: (checks: readonly HealthCheck[]) => void = () => {};

  /** Takes a selected Service. The next `publish` makes it visible. */
  update(id: ServiceId, service: Service | undefined, localEndpoints: number): void {
    const port = service?.healthCheckNodePort ?? 0;
    if (service?.type !== "LoadBalancer" || !service.externalLocal || port === 0) {
      this.#checks.delete(id);
      return;
    }
    const { namespace, name } = service;
    this.#checks.set(id, { port, namespace, name, localEndpoints });
  }

  /** Publishes the selected results, which are now in the kernel. */
  publish(): void {
    this.#published = [...this.#checks.values()];
    this.#listener(this.#published);
  }

  /**
   * Sets the only listener. It is called at each `publish`, and now with the last published checks.
   */
  listen(listener: (checks: readonly HealthCheck[]) => void): void {
    this.#listener = listener;
    listener(this.#published);
  }
}
