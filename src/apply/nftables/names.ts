/** The names of chains, and what they say: a bijection between actions and chains. */
import type { Action, Reach, Source } from "../../plan/actions.ts";
import type { Family } from "../../plan/tables.ts";

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

const PATTERN =
  /^(?:(?<reach>masquerade|short-circuit)-)?(?<verb>pick|sticky)(?<source>(?:-nodeport)?(?:-local)?)(?<family>[46])-(?<count>[1-9]\d*)$/;
const LEARN_PATTERN = /^learn(?<nodeport>-nodeport)?(?<family>[46])-(?<seconds>[1-9]\d*)$/;

/** What a chain of such a name does; undefined for a chain that is not an action's. */
export function parseChainName(name: string): { action: Action; family: Family } | undefined {
  const learn = LEARN_PATTERN.exec(name)?.groups;
  if (learn) {
    const { nodeport, family, seconds } = learn;
    const action = { verb: "learn", nodePort: nodeport !== undefined, seconds: Number(seconds) };
    return { action: action as Action, family: Number(family) as Family };
  }
  const groups = PATTERN.exec(name)?.groups;
  if (!groups) return undefined;
  const { reach, verb, source, family, count } = groups;
  const sources = Object.entries(SOURCE_SUFFIX).find(([, suffix]) => suffix === source);
  const action = { verb, source: sources?.[0], reach: reach ?? "plain", count: Number(count) };
  return { action: action as Action, family: Number(family) as Family };
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
export type Dispatch = "choices" | "refusals" | "learning";

/** `choices4`: for frontends; `refusals4`: for those without endpoints; `learning4`: for affinity. */
export function dispatchMap(kind: Dispatch, family: Family): string {
  return `${kind}${family}`;
}
