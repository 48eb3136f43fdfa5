/** What selection hands to the plan. */
import type { Family } from "../net/address.ts";

/** Endpoints in the core's memory: `count` records of the family's stride from `pointer`. */
export interface EndpointSpan {
  readonly pointer: number;
  readonly count: number;
}

/** What selection found for one service port in one family (kube-proxy's CategorizeEndpoints). */
export interface Choice {
  readonly portIndex: number;
  readonly family: Family;
  /** Ready endpoints after topology hints, or serving-terminating ones when none is Ready. */
  readonly cluster: EndpointSpan;
  /** The same of this node only; hints do not apply. */
  readonly local: EndpointSpan;
  /** Some endpoint is usable somewhere, on this node or not. */
  readonly usable: boolean;
}
