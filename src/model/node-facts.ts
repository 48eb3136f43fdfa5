/** Describes this node as far as the plan needs it. */
import type { Address, Cidr, Family } from "../net/address.ts";

/** The plan's input in addition to Services: facts about the node and the configuration. */
export interface NodeFacts {
  readonly name: string;
  /** "" until the Node object has been seen. */
  readonly uid: string;
  /** Node IPs by family, from status.addresses: InternalIP first, then ExternalIP. */
  readonly primary: { readonly [family in Family]?: Address };
  readonly zone: string;
  readonly podCidrs: readonly Cidr[];
  /**
   * False if the node is being deleted or has the taint ToBeDeletedByClusterAutoscaler. Load
   * balancers then skip it.
   */
  readonly eligible: boolean;
}
