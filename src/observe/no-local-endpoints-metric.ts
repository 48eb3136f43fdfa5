/**
 * Counts Service ports with a Local traffic policy that have endpoints elsewhere but none on this
 * node (kubeproxy_sync_proxy_rules_no_local_endpoints_total). This node drops their traffic.
 */

import type { EndpointSelection } from "../model/choice.ts";
import type { Service, ServiceId } from "../model/service.ts";
import { externalPolicyLocal } from "../plan/policy.ts";
import type { Counts } from "./view.ts";

type Count = Counts["noLocalEndpoints"][number];
const POLICIES = ["internal", "external"] as const;
const FAMILIES = [4, 6] as const;

/** Keeps the ports by Service, as of its last selection. */
export class NoLocalEndpoints {
  readonly #ports = new Map<ServiceId, readonly { policy: Count["policy"]; family: 4 | 6 }[]>();

  /** Takes a selected Service; undefined if it was deleted. */
  update(id: ServiceId, service: Service | undefined, choices: readonly EndpointSelection[]): void {
    if (service === undefined) {
      this.#ports.delete(id);
      return;
    }
    const without = choices.filter(({ usable, local }) => usable && local.count === 0);
    const ports = POLICIES.flatMap((policy) =>
      hasLocalPolicy(service, policy) ? without.map(({ family }) => ({ policy, family })) : [],
    );
    if (ports.length > 0) this.#ports.set(id, ports);
    else this.#ports.delete(id);
  }

  /**
   * Counts ports by policy and family. Zeros are included, because a series that ends would keep
   * its last value in a dashboard.
   */
  counts(): readonly Count[] {
    const all = [...this.#ports.values()].flat();
    return POLICIES.flatMap((policy) =>
      FAMILIES.map((family) => ({
        policy,
        family,
        count: all.filter((port) => port.policy === policy && port.family === family).length,
      })),
    );
  }
}

function hasLocalPolicy(service: Service, policy: Count["policy"]): boolean {
  return policy === "internal" ? service.internalLocal : externalPolicyLocal(service);
}
