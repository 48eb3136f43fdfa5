/** Defines the result of endpoint selection, which the plan takes as input. */
import type { Family } from "../net/address.ts";

/**
 * Endpoints in the core's memory: `count` records of the family's stride, starting at `pointer`.
 */
export interface EndpointSpan {
  readonly pointer: number;
  readonly count: number;
}

/** Result of selection for one service port in one family (kube-proxy's CategorizeEndpoints). */
export interface EndpointSelection {
  readonly portIndex: number;
  readonly family: Family;
  /**
   * Ready endpoints after topology hints. If no endpoint is Ready, the endpoints that are serving
   * and terminating.
   */
  readonly cluster: EndpointSpan;
  /** The same for endpoints on this node; hints do not apply. */
  readonly local: EndpointSpan;
  /** True if any endpoint is usable, on this node or elsewhere. */
  readonly usable: boolean;
}
