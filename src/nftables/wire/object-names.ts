/** Defines the names of chains and maps. */
import type { Action, SlotTable, SnatMode } from "../../model/actions.ts";
import type { Family } from "../../net/address.ts";

/** Our only table, in the family inet. */
export const TABLE = "sluice";

const SNAT_PREFIX: { readonly [snat in SnatMode]: string } = {
  plain: "",
  masquerade: "masquerade-",
  "short-circuit": "short-circuit-",
};
const SLOT_TABLE_SUFFIX: { readonly [source in SlotTable]: string } = {
  endpoints: "",
  "local-endpoints": "-local",
  "nodeport-endpoints": "-nodeport",
  "nodeport-local-endpoints": "-nodeport-local",
};

/**
 * The chain of an action: `pick4-5`, `masquerade-sticky-nodeport6-2`, `learn4-10800`. Undefined for
 * accept, drop and reject, which have their chains in the skeleton.
 */
export function chainName(action: Action, family: Family): string | undefined {
  switch (action.verb) {
    case "pick":
    case "sticky":
      return `${SNAT_PREFIX[action.snat]}${action.verb}${SLOT_TABLE_SUFFIX[action.slotTable]}${family}-${action.count}`;
    case "learn":
      return `learn${action.nodePort ? "-nodeport" : ""}${family}-${action.seconds}`;
    default:
      return undefined;
  }
}

/** The map, filled by packets, that remembers the endpoint of each client. */
export function affinityMap(nodePort: boolean, family: Family): string {
  return `${nodePort ? "nodeport-affinity" : "affinity"}${family}`;
}

/**
 * Verdict maps from an action's number to its chain. There are three, because the kernel validates
 * every element of a map that a base chain can reach. Postrouting must not reach dnat, and no chain
 * may reach itself.
 */
export const DISPATCHES = ["choices", "refusals", "learning"] as const;
export type Dispatch = (typeof DISPATCHES)[number];

/**
 * `choices4`: for frontends with endpoints; `refusals4`: for those without; `learning4`: for
 * affinity.
 */
export function dispatchMap(kind: Dispatch, family: Family): string {
  return `${kind}${family}`;
}
