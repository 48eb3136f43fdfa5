/** This node, as far as the plan cares. */
import type { Address, Cidr, Family } from "../net/address.ts";

/** What the plan needs to know besides Services: the node and the configuration. */
export interface NodeFacts {
  readonly name: string;
  /** "" while the object has not been seen. */
  readonly uid: string;
  /** Node IPs by family, from status.addresses: InternalIP first, then ExternalIP. */
  readonly primary: { readonly [family in Family]?: Address };
  readonly zone: string;
  readonly podCidrs: readonly Cidr[];
  /** Being deleted, or tainted ToBeDeletedByClusterAutoscaler: not eligible for load balancers. */
  readonly eligible: boolean;
}
