/** The names of chains and maps, and what they say. */
import type { Action, Reach, Source } from "../../model/actions.ts";
import type { Family } from "../../net/address.ts";

/** The one table of ours, in the family inet. */
export const TABLE = "sluice";

const REACH_PREFIX: { readonly [reach in Reach]: string } = {
  plain: "",
  masquerade: "masquerade-",
  "short-circuit": "short-circuit-",
};
const SOURCE_SUFFIX: { readonly [source in Source]: string } = {
  endpoints: "",
  "local-endpoints": "-local",
  "nodeport-endpoints": "-nodeport",
  "nodeport-local-endpoints": "-nodeport-local",
};

/**
 * The chain of an action: `pick4-5`, `masquerade-sticky-nodeport6-2`, `learn4-10800`; undefined for
 * accept, drop and reject, whose chains are part of the skeleton.
 */
export function chainName(action: Action, family: Family): string | undefined {
  switch (action.verb) {
    case "pick":
    case "sticky":
      return `${REACH_PREFIX[action.reach]}${action.verb}${SOURCE_SUFFIX[action.source]}${family}-${action.count}`;
    case "learn":
      return `learn${action.nodePort ? "-nodeport" : ""}${family}-${action.seconds}`;
    default:
      return undefined;
  }
}

/** Maps that the kernel itself fills: which endpoint a client is remembered for. */
export function affinityMap(nodePort: boolean, family: Family): string {
  return `${nodePort ? "nodeport-affinity" : "affinity"}${family}`;
}

/**
 * Verdict maps from an action's number to its chain. There are three, because the kernel follows every
 * element of a map wherever a base chain reaches it: what leads to dnat may not be seen from postrouting, and
 * no chain may come back to itself.
 */
export const DISPATCHES = ["choices", "refusals", "learning"] as const;
export type Dispatch = (typeof DISPATCHES)[number];

/** `choices4`: for frontends; `refusals4`: for those without endpoints; `learning4`: for affinity. */
export function dispatchMap(kind: Dispatch, family: Family): string {
  return `${kind}${family}`;
}
