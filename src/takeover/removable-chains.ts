/**
 * Decides which iptables chains and rules are kube-proxy's, and which of them may be removed. The
 * same applies to nf_tables and legacy tables, and to chains of Sluice's iptables mode, which have
 * the same names. Pure.
 */

import type { IptablesChain, IptablesRule, Removable } from "../iptables/syntax/iptables-save.ts";
import { isJump, printGuard } from "../iptables/syntax/jumps.ts";
import {
  areSluiceChains,
  FIREWALL,
  FORWARD,
  type IptablesTable,
  isKubeProxyChain,
  NODE_PORTS,
} from "../iptables/syntax/known-chains.ts";
import type { RuleOwner } from "./rule-origin.ts";

/**
 * The owner of the chains of one family and variant in all tables, judged by the chains of the nat
 * table.
 */
export function ownerOfChains(has: (chain: string) => boolean): RuleOwner {
  return areSluiceChains(has) ? "Sluice" : "kube-proxy";
}

/** A kubelet keeps this chain in each table to notice the loss of its rules. */
const KUBELET = "KUBE-KUBELET-CANARY";
/** The comment of its only rule: setupLocalhostFirewall in pkg/proxy/iptables/proxier.go. */
const FIREWALL_COMMENT = "block incoming localnet connections";

/**
 * A chain of the filter table that accepts packets which the policy of a built-in chain may drop.
 */
export interface AcceptChain {
  /** The built-in chain that jumps to it. */
  readonly from: "FORWARD" | "INPUT";
  readonly chain: string;
  readonly accepts: string;
}

export const ACCEPT_CHAINS: readonly AcceptChain[] = [
  { from: "FORWARD", chain: FORWARD, accepts: "forwarded packets of Services" },
  { from: "INPUT", chain: NODE_PORTS, accepts: "connections to healthCheckNodePorts" },
];

export interface Leftovers<Id> extends Removable<Id> {
  /**
   * kube-proxy's chains that must stay, because foreign rules jump to them directly or through each
   * other.
   */
  readonly kept: readonly string[];
  /** Accept chains that are removed although a policy makes them necessary. */
  readonly removedRequired: readonly AcceptChain[];
}

/** Further conditions for a filter table. */
export interface LeftoverOptions {
  /** Accept chains that a policy makes necessary. `keepRequired` keeps them. */
  readonly required?: readonly AcceptChain[];
  readonly keepRequired?: boolean;
  /** FIREWALL, if it may be removed too. */
  readonly firewall?: string | undefined;
}

/**
 * Decides what may be removed from a table. `rulesOf` is called only for chains that stay, because
 * kube-proxy's own can have very many rules.
 */
export async function findLeftovers<Id>(
  table: IptablesTable,
  chains: readonly IptablesChain[],
  rulesOf: (chain: string) => Promise<readonly IptablesRule<Id>[]>,
  { required = [], keepRequired = false, firewall }: LeftoverOptions = {},
): Promise<Leftovers<Id>> {
  const own = new Set<string>();
  for (const { name } of chains) {
    if (isKubeProxyChain(table, name) || name === firewall) own.add(name);
  }
  if (own.size === 0) return { jumps: [], chains: [], kept: [], removedRequired: [] };
  const jumps: { chain: string; id: Id }[] = [];
  const keepers = new Set(keepRequired ? required.map(({ chain }) => chain) : []);
  const kept = new Set<string>();
  const keep = (target: string | undefined) => {
    if (target !== undefined && own.has(target)) kept.add(target);
  };
  for (const { name, base } of chains) {
    if (own.has(name)) continue;
    for (const rule of await rulesOf(name)) {
      const { id, target } = rule;
      if (target === undefined || !own.has(target)) continue;
      const jump = target === firewall ? rule.text === `-j ${target}` : isJump(table, name, rule);
      if (!base || !jump) keep(target);
      else if (!keepers.has(target)) jumps.push({ chain: name, id });
    }
  }
  // Iterating over a set also visits elements that are added meanwhile.
  for (const name of kept) {
    for (const { target } of await rulesOf(name)) keep(target);
  }
  const removable = [...own].filter((name) => !kept.has(name) && !keepers.has(name));
  const removedRequired = required.filter(({ chain }) => removable.includes(chain));
  return { jumps, chains: removable, kept: [...kept], removedRequired };
}

/**
 * Checks whether FIREWALL may be removed from a filter table, given all chains of the table.
 * - undefined: it must stay, because a kubelet uses it or it has foreign rules.
 * - "guards": it has only kube-proxy's rule.
 * - "empty": it has no rules.
 */
export async function readFirewall(
  chains: readonly IptablesChain[],
  rulesOf: (chain: string) => Promise<readonly IptablesRule<unknown>[]>,
): Promise<"guards" | "empty" | undefined> {
  const has = (chain: string) => chains.some(({ name }) => name === chain);
  if (!has(FIREWALL) || has(KUBELET)) return undefined;
  const [rule, ...more] = await rulesOf(FIREWALL);
  if (rule === undefined) return "empty";
  const guards = rule.comment === FIREWALL_COMMENT || rule.text === printGuard();
  return more.length === 0 && guards ? "guards" : undefined;
}
