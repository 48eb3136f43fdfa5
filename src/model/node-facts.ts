/** Describes this node as far as the plan needs it. */
import type { Address, Cidr, Family } from "../net/address.ts";

/** The facts of the Node object that the plan, health and Events need. */
export interface NodeFacts {
  readonly name: string;
  /** "" until the Node object has been seen. */
  readonly uid: string;
  /** The node IP of each family: its first InternalIP, otherwise its first ExternalIP. */
  readonly nodeIPs: { readonly [family in Family]?: Address };
  readonly zone: string;
  readonly podCidrs: readonly Cidr[];
  /**
   * False if the node is being deleted or has the taint ToBeDeletedByClusterAutoscaler. Load
   * balancers then skip it.
   */
  readonly eligible: boolean;
}
