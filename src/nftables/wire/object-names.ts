/** Defines the names of chains and maps. */
import type { Action, SlotTable, SnatMode } from "../../model/actions.ts";
import type { Family } from "../../net/address.ts";

/** Our table, in the family inet. */
export const TABLE = "sluice";
/** Another table with the same content. It exists only while our table is replaced. */
export const STAND_IN = "sluice-stand-in";

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
 * The chain of an action: `pick4-5`, `masquerade-recall-nodeport6-2`, `learn4-17-10800`. Undefined
 * for accept, drop and reject, which have their chains in the skeleton.
 */
export function chainName(action: Action, family: Family): string | undefined {
  switch (action.verb) {
    case "pick":
    case "recall":
      return `${SNAT_PREFIX[action.snat]}${action.verb}${SLOT_TABLE_SUFFIX[action.slotTable]}${family}-${action.count}`;
    case "learn":
      return `learn${action.nodePort ? "-nodeport" : ""}${family}-${action.map}-${action.seconds}`;
    default:
      return undefined;
  }
}

/** The chain that sends a remembered client to its endpoint: `remembered-local4-17`. */
export function rememberedChain(slotTable: SlotTable, family: Family, map: number): string {
  return `${dispatchMap(rememberedDispatch(slotTable), family)}-${map}`;
}

/** The map, filled by packets, that remembers the endpoint of each client: `affinity4-17`. */
export function affinityMap(family: Family, map: number): string {
  return `affinity${family}-${map}`;
}

/** The set, filled by packets, of frontends that could not remember a new client. */
export function notRememberedSetName(nodePort: boolean, family: Family): string {
  return `${nodePort ? "nodeports-" : ""}not-remembered${family}`;
}

/** Reports whether packets, not Sluice, fill the map or set with this name. */
export function isFilledByPackets(name: string): boolean {
  return /^(affinity[46]-\d+|(nodeports-)?not-remembered[46])$/.test(name);
}

/** The set of all pairs of equal bytes, with which the kernel compares two addresses. */
export const EQUAL_BYTES = "equal-bytes";

/**
 * Verdict maps from an action's number to its chain. There are several, because the kernel
 * validates every element of a map that a base chain can reach. Postrouting must not reach dnat,
 * and no chain may reach itself.
 */
export const DISPATCHES = [
  "choices",
  "refusals",
  "learning",
  "remembered",
  "remembered-local",
  "remembered-nodeport",
  "remembered-nodeport-local",
] as const;
export type Dispatch = (typeof DISPATCHES)[number];

const REMEMBERED: { readonly [table in SlotTable]: Dispatch } = {
  endpoints: "remembered",
  "local-endpoints": "remembered-local",
  "nodeport-endpoints": "remembered-nodeport",
  "nodeport-local-endpoints": "remembered-nodeport-local",
};

/** The verdict map that leads to remembered endpoints of a slot table. */
export function rememberedDispatch(slotTable: SlotTable): Dispatch {
  return REMEMBERED[slotTable];
}

/**
 * `choices4`: for frontends with endpoints; `refusals4`: for those without; `learning4` and
 * `remembered4`: for session affinity.
 */
export function dispatchMap(kind: Dispatch, family: Family): string {
  return `${kind}${family}`;
}
